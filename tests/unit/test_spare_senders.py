"""Connections outlive the shard that opened them, and none outlives the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from pipeline.engines.spare import SpareSenders
from pipeline.light import attempts_of

if TYPE_CHECKING:
    from pipeline.records import Answer, Fault, Job


@define(eq=False)
class _Sender:
    opened: list[_Sender]
    closed: int = 0
    released: int = 0

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        raise NotImplementedError

    def release(self) -> None:
        self.released += 1

    def close(self) -> None:
        self.closed += 1


class _LightSender(_Sender):
    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        raise NotImplementedError


def spare(kind: type[_Sender] = _Sender) -> tuple[SpareSenders, list[_Sender]]:
    opened: list[_Sender] = []

    def open_sender() -> _Sender:
        opened.append(kind(opened))
        return opened[-1]

    return SpareSenders(open_sender), opened


def test_a_sender_that_was_closed_is_the_next_one_and_holds_no_answer() -> None:
    senders, opened = spare()
    first, second = senders(), senders()

    first.close()
    first.close()
    third, fourth = senders(), senders()

    assert len(opened) == 3
    assert [(each.closed, each.released) for each in opened] == [(0, 1), (0, 0), (0, 0)]
    for lent in (second, third, fourth):
        lent.close()


def test_all_are_closed_at_the_end_also_those_that_come_back_later() -> None:
    senders, opened = spare()
    in_use, idle = senders(), senders()
    idle.close()

    senders.close()
    in_use.close()

    assert [each.closed for each in opened] == [1, 1]


def test_attempts_are_made_by_the_sender_itself() -> None:
    plain, _ = spare()
    light, opened = spare(_LightSender)
    lent = light()

    assert not hasattr(plain(), "attempt")
    assert attempts_of(lent) == getattr(opened[0], "attempt")  # noqa: B009  the type of what was opened is the plain one

"""Where workers wait: each ticket goes to one worker, who waited longest first, and nobody waits for ever."""

from __future__ import annotations

from typing import Any

from pipeline.messages import Ticket
from pipeline.records import Job
from pipeline.stages.idle import IdleWorkers


def ticket(number: int) -> Ticket:
    return Ticket(Job(number, f"row-{number}", "POST", "/x", b"{}", 1, number + 1), 1, None)


class Workers:
    """Workers that wait once each, and what each of them got."""

    def __init__(self, idle: IdleWorkers) -> None:
        self._idle = idle
        self.got: dict[int, int | None] = {}

    def wait(self, number: int) -> None:
        workers = self

        class Worker:
            def resume(self, value: Any = None) -> None:
                workers.got[number] = None if value is None else value.job.index

        self._idle.hold(Worker())


def test_tickets_go_to_those_who_wait_the_longest_first() -> None:
    idle = IdleWorkers()
    workers = Workers(idle)
    for number in range(3):
        workers.wait(number)

    taken = [idle.give(ticket(number)) for number in (7, 8, 9, 10)]

    assert taken == [True, True, True, False]
    assert workers.got == {0: 7, 1: 8, 2: 9}


def test_worker_that_is_back_before_its_ticket_is_given_out_waits_behind_the_others() -> None:
    idle = IdleWorkers()
    workers = Workers(idle)
    workers.wait(0)
    workers.wait(1)

    idle.give(ticket(7))
    workers.wait(2)
    idle.give(ticket(8))

    assert workers.got == {0: 7, 1: 8}


def test_no_worker_waits_for_a_ticket_once_there_will_be_none() -> None:
    idle = IdleWorkers()
    workers = Workers(idle)
    workers.wait(0)
    workers.wait(1)

    idle.close()
    workers.wait(2)

    assert workers.got == {0: None, 1: None, 2: None}
    assert not idle.give(ticket(7))

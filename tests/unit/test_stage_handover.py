"""From the gate to the workers: tickets arrive within the call, in order, none is lost, and each end learns of the other's."""

from __future__ import annotations

from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.light import Crew, InTask
from pipeline.stages.handover import Hand, Handover

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine


async def keep_all(hand: Hand[int], got: list[int | None], busy_after: int | None = None) -> None:
    """Keep what comes. busy_after: what is followed by a wait for something else."""
    with hand:
        while (message := await hand.receive()) is not None:
            got.append(message)
            if message == busy_after:
                await InTask(trio.lowlevel.checkpoint)
    got.append(None)


@asynccontextmanager
async def reading(read: Callable[[Hand[int]], Coroutine[None, None, None]]) -> AsyncIterator[Handover[int]]:
    """A channel that is read by a light task."""
    give, hand = Handover[int]().ends()
    async with trio.open_nursery() as nursery:
        crew = Crew(nursery)
        with closing(crew):
            crew.start(read(hand))
            yield give
            await crew.join()


async def test_message_is_read_within_the_call_that_sends_it() -> None:
    got: list[int | None] = []
    async with reading(lambda hand: keep_all(hand, got)) as give:
        with give:
            for number in range(3):
                give.send_nowait(number)
                assert got[-1] == number
    assert got == [0, 1, 2, None]


async def test_messages_that_come_while_the_reader_waits_for_something_else_are_read_in_order() -> None:
    got: list[int | None] = []
    async with reading(lambda hand: keep_all(hand, got, busy_after=0)) as give:
        with give:
            for number in range(3):
                give.send_nowait(number)
            assert got == [0]
    assert got == [0, 1, 2, None]


async def test_messages_sent_before_anybody_reads_are_kept_beyond_the_end() -> None:
    got: list[int | None] = []
    give, hand = Handover[int]().ends()
    with give:
        give.send_nowait(1)
    async with trio.open_nursery() as nursery:
        crew = Crew(nursery)
        crew.start(keep_all(hand, got))
        await crew.join()
    assert got == [1, None]


def test_nothing_can_be_sent_to_a_reader_that_has_ended() -> None:
    give, hand = Handover[int]().ends()
    with hand:
        give.send_nowait(1)
    with pytest.raises(trio.BrokenResourceError):
        give.send_nowait(2)
    give.close()
    give.close()
    with pytest.raises(trio.ClosedResourceError):
        give.send_nowait(3)


async def test_reader_that_fails_while_a_message_is_sent_ends_its_own_crew_and_not_the_sender() -> None:
    async def fail(hand: Hand[int]) -> None:
        with hand:
            await hand.receive()
            raise ValueError

    async def send_twice() -> None:
        async with reading(fail) as give:
            give.send_nowait(1)
            with pytest.raises(trio.BrokenResourceError):
                give.send_nowait(2)

    with pytest.raises(ExceptionGroup) as caught:
        await send_twice()
    assert caught.group_contains(ValueError)

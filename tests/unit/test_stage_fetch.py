"""The workers as a stage: they leave room for others, and none of them goes on once the stage has ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import trio

from pipeline.light import in_task
from pipeline.messages import GateMessage, Ticket
from pipeline.records import Answer, Fault, Job, Outcome
from pipeline.stages.fetch import MOST_AT_ONCE, FetchSettings, fetch
from pipeline.stages.pass_through import PassThrough

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.light import Resumed

ANSWER = Answer(200, [], b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}')


class Provider:
    """Opens senders that wait until the test answers them. passes: counted by the test."""

    def __init__(self) -> None:
        self.waiting: list[Resumed] = []
        self.left: Counter[int] = Counter()
        self.passes = self.closed = 0

    def open_sender(self) -> Sender:
        return Sender(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)

    def hold(self, waiting: Resumed) -> None:
        self.waiting.append(waiting)


class Sender:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        self.provider.left[self.provider.passes] += 1
        await self.provider
        return ANSWER

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        return await in_task(self.attempt(job, client_request_id))

    def release(self) -> None:
        pass

    def close(self) -> None:
        self.provider.closed += 1


async def emit(outcomes: list[Outcome]) -> None:
    raise AssertionError(outcomes)


def ticket(index: int) -> Ticket:
    return Ticket(Job(index, f"row-{index}", "POST", "/v1/chat/completions", b"{}", 1, 1), 1, None)


async def test_requests_that_may_leave_together_leave_room_for_others_between_them(nursery: trio.Nursery) -> None:
    count, provider = 5 * MOST_AT_ONCE, Provider()
    settings = FetchSettings((provider.open_sender,), draw=lambda: 0.0, utc=lambda: 0.0, name_attempt=lambda index, attempt: "")
    grant, tickets = trio.open_memory_channel[list[Ticket]](1)
    post, reports = trio.open_memory_channel[GateMessage](count)
    end, outcomes = trio.open_memory_channel[Outcome](count)

    async def run() -> None:
        await fetch(tickets, post, end, settings=settings, store=PassThrough(emit))

    with reports, outcomes:
        nursery.start_soon(run)
        grant.send_nowait([ticket(index) for index in range(count)])
        while len(provider.waiting) < count:
            provider.passes += 1
            await trio.lowlevel.checkpoint()
        grant.close()
        for worker in provider.waiting:
            worker.resume()

        # Between two steps of this task there may be two of the other: trio runs those of one pass in any order.
        assert max(provider.left.values()) <= 2 * MOST_AT_ONCE
        assert outcomes.statistics().current_buffer_used == reports.statistics().current_buffer_used == count


async def test_worker_that_is_answered_after_the_stage_was_cancelled_reports_nothing(nursery: trio.Nursery) -> None:
    provider = Provider()
    settings = FetchSettings((provider.open_sender,), draw=lambda: 0.0, utc=lambda: 0.0, name_attempt=lambda index, attempt: "")
    grant, tickets = trio.open_memory_channel[list[Ticket]](1)
    post, reports = trio.open_memory_channel[GateMessage](2)
    end, outcomes = trio.open_memory_channel[Outcome](2)
    grant.send_nowait([ticket(0), ticket(1)])

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:

            async def run() -> None:
                await fetch(tickets, post, end, settings=settings, store=PassThrough(emit))

            inner.start_soon(run)
            await trio.testing.wait_all_tasks_blocked()
            provider.waiting[0].resume()
            scope.cancel()
    provider.waiting[1].resume()

    assert len(reports_of(reports)) == len(reports_of(outcomes)) == 1
    assert provider.closed == 2


def reports_of(channel: trio.MemoryReceiveChannel[Any]) -> list[Any]:
    found = []
    try:
        while True:
            found.append(channel.receive_nowait())
    except (trio.EndOfChannel, trio.WouldBlock):
        return found

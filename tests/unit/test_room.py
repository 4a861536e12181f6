"""Memory is bounded in bytes: what waits to be sent is no more than the room has, whatever becomes of the rows (law 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.rows.lines import RawRow
from pipeline.records import Answer, Failure, FailureKind, Fault, FaultCause, Job, Outcome
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.pass_through import PassThrough
from pipeline.stages.room import SHORT_BYTES, Room

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG = 10 * SHORT_BYTES
RIGHT = Answer(200, [], b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}')
BUSY = Answer(429, [(b"retry-after", b"2")], b'{"error":{"message":"too many"}}')
CUT = Fault(FailureKind.CONNECTION, "reset", maybe_sent=True, cause=FaultCause.CLOSED)
WRONG = Answer(400, [], b'{"error":{"message":"no"}}')


class World:
    """Rows of given lengths, a provider that follows a plan, and a look at what is in memory."""

    def __init__(self, sizes: Sequence[int], replies: Sequence[Answer | Fault], tokens: int | None = None) -> None:
        self.sizes = sizes
        self.replies = list(replies)
        self.tokens = tokens
        self.made = 0
        self.in_flight = 0
        self.finished: set[int] = set()
        self.in_the_air: set[int] = set()
        self.most_waiting = 0

    async def take_rows(self, most: int) -> list[RawRow]:
        await trio.lowlevel.checkpoint()
        left = min(most, 2, len(self.sizes) - self.made)  # a chunk of the input holds few long rows
        return [RawRow(self.made + number + 1, 0, b"{}") for number in range(left)]

    def make_jobs(self, rows: list[RawRow], first: int) -> list[Job | Failure]:
        self.made = first + len(rows)
        return [
            Job(index, f"row-{index}", "POST", "/v1/chat/completions", bytes(self.sizes[index]), 100 if index % 7 == 5 else 1, 1)
            for index in range(first, self.made)
        ]

    def look(self) -> None:
        gone = self.finished | self.in_the_air
        waiting = sum(self.sizes[index] for index in range(self.made) if index not in gone)
        self.most_waiting = max(self.most_waiting, waiting)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        self.in_the_air.add(job.index)
        self.look()
        await trio.sleep(1.0)
        self.look()
        self.in_the_air.discard(job.index)
        return self.replies.pop(0) if self.replies else RIGHT

    def release(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        pass

    async def emit(self, outcomes: list[Outcome]) -> None:
        self.finished |= {outcome.index for outcome in outcomes}
        await trio.lowlevel.checkpoint()

    def run(self, *, workers: int, limit: int) -> None:
        flow = FlowSettings(
            take_rows=self.take_rows,
            make_jobs=self.make_jobs,
            lanes=Lanes([LaneState(Lane.from_limits(tokens_per_minute=self.tokens), workers)]),
            fetch=FetchSettings(
                (lambda: self,), RetryPolicy(3, 1.0, 2.0), draw=lambda: 0.5, utc=lambda: 0.0, name_attempt=lambda *_: "name"
            ),
            store=PassThrough(self.emit),
            window=1000,
            in_order=False,
            window_bytes=limit,
        )

        async def main() -> None:
            with trio.fail_after(1e6):
                await run_flow(flow, Tallies(), trio.Event())

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("limit", [1, 3 * LONG, 20 * LONG])
@pytest.mark.parametrize("replies", [[], [BUSY, CUT] * 15], ids=["at once", "after retries"])
def test_what_waits_is_bounded_and_every_row_gets_through(limit: int, replies: list[Answer | Fault]) -> None:
    world = World([LONG] * 60, replies)

    world.run(workers=3, limit=limit)

    assert len(world.finished) == 60
    assert world.most_waiting <= limit + (2 + 2 * 3) * LONG  # a slice more, and those whose attempts have ended a moment ago


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([10, SHORT_BYTES, LONG, 5 * LONG]), max_size=40),
    replies=st.lists(st.sampled_from([RIGHT, BUSY, CUT, WRONG]), max_size=40),
    workers=st.integers(1, 5),
    limit=st.sampled_from([1, LONG, 7 * LONG]),
    tokens=st.sampled_from([None, 60]),
)
def test_no_end_of_a_row_takes_room_for_ever(
    sizes: list[int], replies: list[Answer | Fault], workers: int, limit: int, tokens: int | None
) -> None:
    world = World(sizes, replies, tokens)

    world.run(workers=workers, limit=limit)

    assert len(world.finished) == len(sizes)


async def test_a_reader_goes_on_as_soon_as_there_is_room(autojump_clock: trio.testing.MockClock) -> None:
    room = Room(LONG)
    jobs = [Job(index, "", "POST", "/", bytes(LONG), 1, 1) for index in range(3)]
    room.enter(jobs)
    passed = trio.Event()

    async def read() -> None:
        await room.wait()
        passed.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        room.leave(jobs[0])
        await trio.testing.wait_all_tasks_blocked()
        assert not passed.is_set()
        room.leave(jobs[1])
        await passed.wait()

    room.come_back(jobs[0])
    assert room.waiting == 2 * LONG
    room.finish([Failure(0, "", FailureKind.TOO_LARGE, ""), Failure(2, "", FailureKind.TOO_LARGE, "")])
    room.forget(jobs[1])
    room.finish([Failure(1, "", FailureKind.TOO_LARGE, "")])
    assert room.waiting == 0

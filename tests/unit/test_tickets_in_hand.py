"""A process that the CPU holds back gives itself no more tickets on a shared lane than can leave before they would be late."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define
from trio.testing import MockClock

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.lane import UNBOUNDED, Bound, Limit
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.pacing.leased import LATE_SECONDS, MOST_IN_HAND, LeasedLane
from pipeline.core.pacing.permits import Reply
from pipeline.core.rows.lines import RawRow
from pipeline.light import InTask
from pipeline.records import Answer, Fault, Job
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.pass_through import PassThrough

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ports import AskLane, Departure
    from pipeline.records import Failure, Outcome

AMOUNT = 50_000
ROWS = 2_000
CPU_SECONDS = 0.0005  # for each attempt: ten times what it takes
LIMIT = Limit(Bound.REQUESTS_PER_SECOND, AMOUNT, 1.0)
ANSWER = Answer(200, [], b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}]}')


@define(eq=False)
class _Busy:
    """A sender that takes CPU before its requests leave. None of them may have to ask."""

    clock: MockClock
    departure: Departure | None = None

    def ask_before(self, departure: Departure) -> None:
        self.departure = departure

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        assert self.departure is not None
        self.clock.jump(CPU_SECONDS)
        leaves = self.departure.may_leave()
        with pytest.raises(StopIteration) as left:  # it waits for nobody
            leaves.send(None)
        assert left.value.value
        return await InTask(self.send, job, client_request_id)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        assert client_request_id, job
        await trio.sleep(0.05)
        return ANSWER

    def release(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        """Nothing is open."""


class _Whole:
    """A `LaneKeeper` of one who holds all permits."""

    async def keep(self, lane: LaneState, ask: AskLane) -> None:
        assert isinstance(lane.limits, LeasedLane)
        await ask(partial(lane.limits.receive, Reply([[(0.0, AMOUNT)]], [0])))
        await trio.sleep_forever()


def test_no_attempt_comes_late_because_too_many_were_let_leave_at_once() -> None:
    clock = MockClock(autojump_threshold=0)
    written: list[Outcome] = []

    async def take_rows(most: int) -> list[RawRow]:
        await trio.lowlevel.checkpoint()
        taken = range(len(rows), min(ROWS, len(rows) + most))
        rows.extend(taken)
        return [RawRow(line=at + 1, offset=at, data=b"") for at in taken]

    def make_jobs(raw: list[RawRow], first: int) -> Sequence[Job | Failure]:
        return [Job(at, f"id-{at}", "POST", "/v1/chat/completions", b"{}", 1, at + 1) for at in range(first, first + len(raw))]

    async def emit(outcomes: list[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        written.extend(outcomes)

    async def main() -> None:
        state = LaneState(LeasedLane([LIMIT], slots=ROWS), ROWS)
        policy = RetryPolicy(1, 0.5, 4.0, 60.0)
        settings = FlowSettings(
            take_rows=take_rows,
            make_jobs=make_jobs,
            lanes=Lanes([state]),
            fetch=FetchSettings(
                (lambda: _Busy(clock),), policy, draw=lambda: 0.5, utc=lambda: 0.0, name_attempt=lambda index, attempt: f"{index}-{attempt}"
            ),
            store=PassThrough(emit),
            window=ROWS,
            leases={state: _Whole()},
        )
        await run_flow(settings, Tallies(), trio.Event())

    rows: list[int] = []
    trio.run(main, clock=clock)

    assert len(written) == ROWS


def test_tickets_in_hand_are_bounded_until_they_were_handed_out() -> None:
    state = LaneState(LeasedLane([LIMIT], slots=ROWS), ROWS)
    assert isinstance(state.limits, LeasedLane)
    state.limits.receive(Reply([[(0.0, AMOUNT)]], [0]), 0.0)

    state.look(1.0)
    first = len(state.limits.admit_many(1.0, state.free))
    state.look(1.0)
    full = state.is_full
    state.limits.handed_out(first, 1.0, 1.0)
    state.look(1.0)

    assert (first, full, state.free) == (MOST_IN_HAND, True, MOST_IN_HAND)
    assert MOST_IN_HAND * CPU_SECONDS < LATE_SECONDS


def test_a_lane_without_limits_has_no_permits_that_could_move() -> None:
    assert LeasedLane([]).at_once == UNBOUNDED

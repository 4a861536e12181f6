"""What is counted together ends as it would one by one: departures that leave at once, and answers that arrive at once."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.judge import Judge
from pipeline.core.pacing.lane import Grant, Lane, Wait
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.pacing.leased import LATE_SECONDS, LeasedLane
from pipeline.core.pacing.permits import Reply
from pipeline.messages import Report, Ticket
from pipeline.records import Job, Scope, Usage

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.3, 1.0, 7.0]),  # seconds until the next step
        st.integers(0, 40),  # rows that are read
        st.integers(0, 40),  # attempts that end
        st.sampled_from([0, 0, 0, 0, 1, 2]),  # of these refused by a limit
        st.booleans(),  # those that end are the oldest ones
    ),
    max_size=40,
)
LIMITS = st.fixed_dictionaries(
    {
        "requests_per_second": st.none() | st.sampled_from([3.0, 50.0, 1000.0]),
        "requests_per_minute": st.none() | st.sampled_from([20.0, 600.0]),
        "burst": st.none() | st.sampled_from([1.0, 5.0]),
        "learn": st.booleans(),
        "held": st.none() | st.sampled_from([0.0, 0.4, 1.0]),
    }
)


def job(index: int) -> Job:
    return Job(index, f"row-{index}", "POST", "/v1", b"{}", 1, index + 1)


class Side:
    """A lane with its judge. together: whether what it can do at once is done at once.

    held: the part of the permits that it holds, where other processes use its limits too; None where they do not.
    """

    def __init__(self, limits: dict[str, object], *, together: bool) -> None:
        held = limits.get("held")
        rates = {name: value for name, value in limits.items() if name != "held"}
        kind = Lane if held is None else LeasedLane
        lane = kind.from_limits(**rates, max_in_flight=25)  # type: ignore[arg-type]
        if isinstance(lane, LeasedLane):
            assert isinstance(held, float)
            lane.receive(Reply([[(0.0, int(held * amount))] for amount, *_ in lane.shared], [0] * len(lane.shared)), 0.0)
        self.state = LaneState(lane, 25)
        self.lanes = Lanes([self.state])
        self.judge = Judge(self.lanes, RetryPolicy())
        self.together = together
        self.jobs: deque[Job] = deque()
        self.flying: list[Ticket] = []

    def fill(self, now: float) -> None:
        self.lanes.look(now)
        if self.together and self.jobs:
            self.flying += self.state.admit_many(now, self.jobs, "")
        while self.jobs:
            ticket = Ticket(self.jobs[0], 1, None)
            if self.state.admit(now, ticket) is not None:
                break
            self.jobs.popleft()
            self.flying.append(ticket)

    def end(self, now: float, count: int, refused: int, *, oldest: bool) -> None:
        ended = self.flying[:count] if oldest else self.flying[len(self.flying) - count :]
        self.flying = [ticket for ticket in self.flying if ticket not in ended]
        for ticket in ended[:refused]:
            self.judge.failed(
                Report(ticket, status=429, scope=Scope.THROTTLE, retryable=True, limited=True, wait_seconds=0.5, delay=1.0), now
            )
        plain = [Report(ticket, answered=True, usage=Usage(1, 2, 3), sent_at=ticket.left) for ticket in ended[refused:]]
        if self.together:
            self.judge.answered_together(plain, now)
        else:
            for report in plain:
                self.judge.succeeded(report, now)
        self.judge.again.clear()

    def told(self, now: float) -> tuple[object, ...]:
        limits = self.state.limits
        demand = limits.demand(now) if isinstance(limits, LeasedLane) else None
        health, waits = self.state.health, self.state.limits.admit(now, 1)
        return (
            [
                (ticket.job.index, ticket.number, ticket.left, ticket.grant and (ticket.grant.left, ticket.grant.crowd))
                for ticket in self.flying
            ],
            (self.state.attempts, self.state.succeeded, self.state.limits.in_flight, self.state.limits.concurrency),
            demand,
            (health.last_good, health.departures, dict(health.flying), health.state, health.served),
            waits.bound if isinstance(waits, Wait) else "leaves",
            waits.until if isinstance(waits, Wait) else 0.0,
        )


@given(limits=LIMITS, steps=STEPS)
def test_what_is_done_together_ends_as_one_by_one(limits: dict[str, object], steps: list[tuple[float, int, int, int, bool]]) -> None:
    sides = [Side(limits, together=together) for together in (False, True)]
    now, read = 100.0, 0
    for passed, rows, ended, refused, oldest in steps:
        now += passed
        for side in sides:
            side.jobs.extend(job(index) for index in range(read, read + rows))
            side.end(now, min(ended, len(side.flying)), refused, oldest=oldest)
            side.judge.tick(now)
            side.fill(now)
        read += rows
        one_by_one, together = (side.told(now) for side in sides)
        assert one_by_one[:-1] == together[:-1]
        assert one_by_one[-1] == pytest.approx(together[-1], abs=1e-6)


def test_a_limit_far_away_lets_a_whole_group_leave_at_once() -> None:
    lane = Lane.from_limits(requests_per_second=1000.0, burst=20.0)

    grants = lane.admit_many(5.0, 15)

    assert [grant.crowd for grant in grants] == list(range(1, 16))
    assert isinstance(lane.admit(5.0, 1), Grant)


def test_nothing_leaves_together_while_a_pause_holds() -> None:
    lane = Lane.from_limits(requests_per_second=1000.0)
    lane.pause(9.0)

    assert not lane.admit_many(8.0, 5)


def test_nothing_leaves_together_on_a_shared_lane_that_is_out_of_touch() -> None:
    lane = LeasedLane.from_limits(requests_per_second=1000.0)
    lane.receive(Reply([[(0.0, 1000)]], [0]), 0.0, valid_until=3.0)

    assert lane.admit_many(2.0, 5)
    assert not lane.admit_many(3.0 - LATE_SECONDS, 5)

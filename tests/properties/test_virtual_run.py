"""Laws 1-6 and 8 over random plans: capacities, windows, workers, latencies, faults, stops and cancellations, on virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.answers.retry import BOUGHT
from pipeline.records import FailureKind, FaultCause, Success
from tests.fakes.virtual_run import Plan, RowPlan, Try, VirtualRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.records import Outcome

EPSILON = 1e-6

seconds = st.sampled_from([0.0, 0.001, 0.01, 0.3, 2.0, 40.0])
tries = st.builds(
    Try,
    kind=st.sampled_from(["ok", FaultCause.CLOSED, "broken", 400, 404, 408, 429, 500, 503]),
    after=seconds,
    headers=st.sampled_from([(), ((b"retry-after", b"1.5"),), ((b"retry-after-ms", b"20"),), ((b"x-should-retry", b"false"),)]),
)
row_plans = st.builds(
    RowPlan,
    bad=st.sampled_from([False] * 9 + [True]),
    tries=st.lists(tries, max_size=4).map(tuple),
    tokens=st.integers(1, 30),
)
plans = st.builds(
    Plan,
    rows=st.lists(row_plans, max_size=40).map(tuple),
    window=st.integers(1, 12),
    workers=st.integers(1, 6),
    attempts=st.integers(1, 4),
    in_order=st.booleans(),
    requests_per_second=st.sampled_from([None, None, 1.0, 7.0, 300.0]),
    tokens_per_minute=st.sampled_from([None, None, 60.0, 25.0]),
    slice_rows=st.integers(1, 9),
    write_seconds=st.sampled_from([0.0, 0.0, 0.5]),
    patience_seconds=st.just(50_000.0),  # here every row comes to its end; test_lane_laws.py has the runs that stop
    stop_after=st.none(),
    light=st.booleans(),
)


def may_end(plan: Plan, index: int) -> set[tuple[bool, int]]:
    """How a row may end, told from its plan alone: whether it succeeds, and after how many attempts.

    A failure that others may meet too counts against the row or does not, depending on what the others met meanwhile.
    """
    row = plan.rows[index]
    if row.bad or (plan.tokens_per_minute is not None and row.tokens > plan.tokens_per_minute):
        return {(False, 0)}
    return set(_ends(plan, row))


def _ends(plan: Plan, row: RowPlan) -> Iterator[tuple[bool, int]]:
    bought = 0
    for attempt, turn in enumerate((*row.tries, Try()), 1):
        if turn.kind == "ok":
            yield True, attempt
            return
        if turn.kind in (400, 404) or (isinstance(turn.kind, int) and (b"x-should-retry", b"false") in turn.headers):
            yield False, attempt
            return
        bought += turn.kind == "broken"
        if turn.kind == "broken" and bought >= BOUGHT:
            yield False, attempt
            return
        if attempt >= plan.attempts:
            yield False, attempt


def most_in_any(period: float, events: list[tuple[float, float]]) -> float:
    """The largest amount that left in any half-open window of that length."""
    return max((sum(a for t, a in events if start <= t < start + period - EPSILON) for start, _ in events), default=0.0)


@given(plans)
@settings(max_examples=200)
def test_every_row_ends_once_with_what_its_plan_says(plan: Plan) -> None:
    run = VirtualRun(plan).run()

    assert sorted(outcome.index for outcome in run.written) == list(range(len(plan.rows)))
    for outcome in run.written:
        assert (isinstance(outcome, Success), outcome.attempts) in may_end(plan, outcome.index)
        assert sum(1 for _, row, _ in run.sent if row == outcome.index) == outcome.attempts
    assert run.tallies.ledger.total == len(plan.rows)
    assert run.tallies.gate.attempts == len(run.sent)
    assert run.closed == run.opened


@given(plans)
@settings(max_examples=150)
def test_no_window_of_a_limits_period_holds_more_than_the_limit(plan: Plan) -> None:
    run = VirtualRun(plan).run()

    if plan.requests_per_second is not None:
        assert most_in_any(1.0, [(at, 1.0) for at, _, _ in run.sent]) <= plan.requests_per_second
    assert run.most_in_flight <= plan.workers


@given(plans, st.floats(0, 60))
@settings(max_examples=150)
def test_after_a_stop_what_was_in_flight_is_written_and_nothing_more_leaves(plan: Plan, at: float) -> None:
    run = VirtualRun(evolve(plan, stop_at=at)).run()

    assert_whole(run, run.written)


@given(plans, st.floats(0, 60))
@settings(max_examples=150)
def test_a_cancelled_run_leaves_a_whole_prefix_and_no_open_sender(plan: Plan, at: float) -> None:
    run = VirtualRun(evolve(plan, cancel_at=at)).run()

    assert_whole(run, run.written)


def assert_whole(run: VirtualRun, written: list[Outcome]) -> None:
    assert run.closed == run.opened
    assert run.in_flight == 0
    for outcome in written:
        assert (isinstance(outcome, Success), outcome.attempts) in may_end(run.plan, outcome.index)


def test_a_limit_of_rows_reads_no_more() -> None:
    run = VirtualRun(Plan(rows=(RowPlan(),) * 20, limit=7)).run()

    assert len(run.written) == 7
    assert len(run.sent) == 7


@pytest.mark.parametrize("rate", [10 / 60, 5.0, 300.0, 3000.0])
def test_a_saturated_gate_attains_its_limit(rate: float) -> None:
    count = int(max(40, rate * 12))
    run = VirtualRun(Plan(rows=(RowPlan(),) * count, window=4 * count, workers=count, requests_per_second=rate, slice_rows=512)).run()

    took = run.sent[-1][0] - run.sent[0][0]
    assert (count - 1) / took >= 0.995 * rate
    assert most_in_any(1.0, [(at, 1.0) for at, _, _ in run.sent[:3000]]) <= max(rate, 1.0)


def test_a_row_over_the_token_budget_is_refused_at_once() -> None:
    run = VirtualRun(Plan(rows=(RowPlan(tokens=100), RowPlan(tokens=5)), tokens_per_minute=50.0)).run()

    first, second = run.written
    assert getattr(first, "kind", None) is FailureKind.TOO_LARGE
    assert isinstance(second, Success)

"""Law 14 with several lanes: neither the run nor a lane of it ever spends more than its budget, and the run ends with a reason."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.pacing.budget import BudgetLimits
from pipeline.records import Success
from tests.fakes.virtual_lanes import LanePlan, LaneRun

budgets = st.builds(BudgetLimits, requests=st.none() | st.integers(0, 40), tokens=st.none() | st.integers(0, 3000))
plans = st.builds(
    LanePlan,
    rate=st.sampled_from([2.0, 20.0, 1000.0]),
    latency=st.sampled_from([0.05, 1.0]),
    workers=st.integers(1, 20),
    budget=budgets,
    flaky=st.sampled_from([0.0, 0.0, 0.3]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(plans, min_size=1, max_size=3), budgets, st.integers(1, 60))
def test_no_budget_is_ever_exceeded_and_every_row_is_answered_or_the_reason_is_told(
    lanes: list[LanePlan], budget: BudgetLimits, rows: int
) -> None:
    run = LaneRun(lanes, rows=rows, budget=budget, tokens=(100, 60)).run()

    for plan, billed in zip(lanes, run.billed, strict=True):
        assert plan.budget.requests is None or billed.requests <= plan.budget.requests
        assert plan.budget.tokens is None or billed.tokens <= plan.budget.tokens
    assert budget.requests is None or sum(billed.requests for billed in run.billed) <= budget.requests
    assert budget.tokens is None or sum(billed.tokens for billed in run.billed) <= budget.tokens
    stopped = run.tallies.gate.stopped
    assert (stopped is None) == (len(run.written) == rows)
    assert stopped is None or "is used up" in stopped
    assert run.failed() == [] or any(plan.flaky for plan in lanes)


def test_rows_go_to_the_other_lane_when_the_budget_of_one_is_spent() -> None:
    lanes = (LanePlan(10, 0.5, budget=BudgetLimits(requests=20)), LanePlan(10, 0.5))
    run = LaneRun(lanes, rows=100).run()

    assert run.tallies.gate.stopped is None
    assert {type(outcome) for outcome in run.written} == {Success}
    assert [billed.requests for billed in run.billed] == [20, 80]
    assert run.states[0].out == (
        "providers[0].budget.requests is used up: 20 requests are spent; raise it, and run the same command to go on"
    )


def test_the_run_stops_with_the_causes_of_all_lanes_when_the_budgets_of_all_are_spent() -> None:
    lanes = tuple(LanePlan(10, 0.5, budget=BudgetLimits(requests=each)) for each in (5, 7))
    run = LaneRun(lanes, rows=100).run()

    assert len(run.written) == 12
    stopped = run.tallies.gate.stopped or ""
    assert "providers[0].budget.requests is used up: 5 requests are spent" in stopped
    assert "providers[1].budget.requests is used up: 7 requests are spent" in stopped


def test_the_budget_of_the_run_holds_over_all_lanes() -> None:
    run = LaneRun((LanePlan(10, 0.5), LanePlan(10, 0.5)), rows=100, budget=BudgetLimits(requests=30)).run()

    assert len(run.written) == 30
    assert "budget.requests is used up: 30 requests are spent" in (run.tallies.gate.stopped or "")


def test_a_row_that_only_a_lane_without_budget_could_take_stops_the_run_after_all_others() -> None:
    lanes = (LanePlan(10, 0.5, budget=BudgetLimits(requests=10)), LanePlan(10, 0.5, tokens_per_minute=5000))
    run = LaneRun(lanes, rows=100, large={60: 9000}).run()

    assert sorted(outcome.index for outcome in run.written) == [row for row in range(100) if row != 60]
    assert "id-60 needs 9000 tokens, and no lane that allows so many works" in (run.tallies.gate.stopped or "")


def test_a_row_that_waits_for_a_lane_that_is_out_of_reach_holds_up_no_other() -> None:
    lanes = (LanePlan(10, 0.5, dies=(1, 60, 500)), LanePlan(10, 0.5, tokens_per_minute=5000))
    run = LaneRun(lanes, rows=400, large={30: 9000}).run()

    assert run.failed() == []
    assert len(run.written) == 400
    assert run.rate_of((1,), 15, 30) >= 9
    at, lane, _ = next(each for each in run.answered if each[2] == 30)
    assert lane == 0
    assert at <= 60 + 20

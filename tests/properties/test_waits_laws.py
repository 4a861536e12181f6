"""What a run and each of its lanes waited for, on virtual time: shares of time that are true of the run and of every lane."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.pacing.budget import BudgetLimits
from pipeline.core.pacing.lane_state import IN_FLIGHT, LANE_OUT, Hold
from pipeline.core.pacing.waits import STANDBY, Allowance, shares
from pipeline.records import FaultCause
from pipeline.runs.lane_figures import LaneFigures
from tests.fakes.virtual_lanes import LanePlan, LaneRun

if TYPE_CHECKING:
    from pipeline.summaries import LaneSummary

RATE = "requests_per_second"


def figures(run: LaneRun) -> LaneFigures:
    return LaneFigures(run.tallies.gate, run.started + run.ended)


def lanes(run: LaneRun) -> dict[str, LaneSummary]:
    return {lane.name: lane for lane in figures(run).summary()}


@pytest.mark.parametrize("kind", [FaultCause.REFUSED, 401, 502, "hole"])
@pytest.mark.parametrize("dead, rest", [(0, 1), (1, 0)])
def test_a_dead_lane_beside_one_that_works_is_never_what_the_run_waited_for(kind: str | int | FaultCause, dead: int, rest: int) -> None:
    """The summary said "held back 63 % of the time: the provider out of reach" while the other lane was at its limit."""
    plans = [LanePlan(10, 1.0), LanePlan(10, 2.0)]
    plans[dead] = LanePlan(10, 1.0, dies=(10.0, 1e9, kind))
    run = LaneRun(tuple(plans), rows=600).run()

    told = lanes(run)
    assert run.failed() == []
    assert figures(run).limited_by.get(LANE_OUT, 0.0) <= 0.01
    assert told[f"lane-{dead}"].limited_by[LANE_OUT] >= (0.5 if kind == "hole" else 0.7)
    assert told[f"lane-{rest}"].limited_by.get(RATE, 0.0) >= 0.8
    assert LANE_OUT not in told[f"lane-{rest}"].limited_by


def test_a_lane_whose_requests_are_all_under_way_says_so_beside_one_at_its_limit() -> None:
    run = LaneRun((LanePlan(1000, 2.0, workers=4), LanePlan(5, 0.5)), rows=300).run()

    told = lanes(run)
    assert told["lane-0"].limited_by[IN_FLIGHT] >= 0.9
    assert told["lane-1"].limited_by[RATE] >= 0.8


def test_a_lane_that_is_kept_for_later_is_not_said_to_be_at_a_limit() -> None:
    run = LaneRun((LanePlan(10, 0.5), LanePlan(10, 0.5, priority=1)), rows=200, fallback_after_seconds=30).run()

    assert lanes(run)["lane-1"].limited_by[STANDBY] >= 0.9
    assert figures(run).limited_by[RATE] >= 0.9


def test_a_run_without_a_lane_that_works_waits_for_its_lanes() -> None:
    plans = tuple(LanePlan(10, 1.0, dies=(10.0, 60.0, kind)) for kind in (FaultCause.REFUSED, 502))
    run = LaneRun(plans, rows=1000).run()

    assert run.failed() == []
    assert figures(run).limited_by[LANE_OUT] * sum(run.tallies.gate.bound_seconds.values()) >= 45


def test_rows_that_only_a_dead_lane_could_take_make_the_run_wait_for_it() -> None:
    small = LanePlan(10, 0.5, tokens_per_minute=6000)
    large = LanePlan(10, 0.5, tokens_per_minute=60_000, dies=(0.0, 40.0, FaultCause.REFUSED))
    run = LaneRun((small, large), rows=40, large={30: 20_000}).run()

    assert run.failed() == []
    assert run.tallies.gate.bound_seconds[LANE_OUT] >= 25


def test_what_was_attained_is_told_of_the_run_and_of_each_lane() -> None:
    whole = LaneRun((LanePlan(10, 1.0), LanePlan(5, 1.0)), rows=1500).run()
    half = LaneRun((LanePlan(10, 1.0, dies=(0.0, 1e9, FaultCause.REFUSED)), LanePlan(10, 1.0)), rows=600).run()

    assert figures(whole).attained == pytest.approx(1.0, abs=0.015)
    assert [lane.attained for lane in figures(whole).summary()] == [pytest.approx(1.0, abs=0.02)] * 2
    assert figures(half).attained == pytest.approx(0.5, abs=0.03)
    dead, alive = (lane.attained or 0.0 for lane in figures(half).summary())
    assert dead <= 0.05
    assert alive == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_shares_of_a_run_and_of_each_lane_sum_to_at_most_one(seed: int) -> None:
    draw = random.Random(seed)
    kinds: list[str | int | FaultCause] = [FaultCause.REFUSED, 401, 500, 502, "hole"]
    plans = tuple(
        LanePlan(
            draw.choice([2, 10, 50]),
            draw.choice([0.2, 1.0, 4.0]),
            workers=draw.choice([2, 20, 100]),
            priority=draw.choice([0, 0, 1]),
            flaky=draw.choice([0.0, 0.1]),
            budget=draw.choice([BudgetLimits(), BudgetLimits(requests=40)]),
            dies=draw.choice([None, (draw.uniform(0, 20), draw.uniform(20, 60), draw.choice(kinds))]),
        )
        for _ in range(draw.choice([1, 2, 3, 4]))
    )
    run = LaneRun(plans, rows=300, in_flight=draw.choice([None, 10]), fallback_after_seconds=draw.choice([0.0, 5.0])).run()

    seconds = run.tallies.gate.bound_seconds
    assert sum(seconds.values()) <= run.ended + 1e-6
    assert sum(figures(run).limited_by.values()) <= 1.0
    for state, lane in zip(run.states, figures(run).summary(), strict=True):
        assert sum(lane.limited_by.values()) <= 1.0
        assert sum(state.waits.seconds.values()) == pytest.approx(sum(seconds.values()))  # each wait counts once for each lane
        assert "" not in lane.limited_by


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e9), max_size=9))
def test_rounded_shares_are_no_more_than_the_whole(seconds: dict[str, float]) -> None:
    found = shares(seconds, sum(seconds.values()))

    assert sum(found.values()) <= 1.0 + 1e-9
    assert sum(found.values()) >= (1 - 1e-4 * len(seconds) if sum(seconds.values()) > 0 else 0.0)


def test_a_limit_that_changes_counts_for_as_long_as_it_held() -> None:
    allowance = Allowance(10.0)
    allowance.change(40.0, 130.0, 100.0)
    late = Allowance(5.0)
    late.begin(150.0)

    assert allowance.over(100.0, 160.0, None) == pytest.approx(30 * 10 + 30 * 40)
    assert allowance.over(100.0, 160.0, 20.0) == pytest.approx(30 * 10 + 30 * 20)
    assert late.over(100.0, 160.0, None) == pytest.approx(50)
    allowance.change(None, 160.0, 100.0)
    assert allowance.over(100.0, 200.0, None) is None
    allowance.change(1.0, 200.0, 100.0)
    assert allowance.over(100.0, 210.0, None) is None  # no limit for a part of the time


@pytest.mark.parametrize(
    "holds, bound, wake",
    [
        ([(3.0, LANE_OUT), (float("inf"), IN_FLIGHT)], IN_FLIGHT, 3.0),
        ([(float("inf"), IN_FLIGHT), (3.0, LANE_OUT)], IN_FLIGHT, 3.0),
        ([(3.0, LANE_OUT), (900.0, "pause")], "pause", 3.0),
        ([(900.0, "pause"), (float("inf"), IN_FLIGHT)], IN_FLIGHT, 900.0),
        ([(0.2, RATE), (float("inf"), IN_FLIGHT)], RATE, 0.2),
        ([(3.0, LANE_OUT), (1.0, LANE_OUT)], LANE_OUT, 1.0),
    ],
)
def test_the_cause_is_that_of_the_lane_that_works_best(holds: list[tuple[float, str]], bound: str, wake: float) -> None:
    from pipeline.core.pacing.lanes import _sooner

    found = _sooner(*(Hold(*each) for each in holds))

    assert (found.bound, found.wake) == (bound, wake)

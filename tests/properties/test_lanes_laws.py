"""Law 15 on virtual time: a row goes to the lane that lets it leave soonest, and a lane that fails takes no row with it."""

from __future__ import annotations

import pytest

from pipeline.records import FaultCause, Success
from tests.fakes.virtual_lanes import Death, LanePlan, LaneRun

LANES = (LanePlan(10, 2.0), LanePlan(5, 4.0), LanePlan(2, 8.0))
SUM = 17.0
DEATHS = [FaultCause.REFUSED, 401, 500, "hole"]


def dying(kind: str | int | FaultCause) -> tuple[LanePlan, ...]:
    return (LanePlan(10, 2.0, dies=(100.0, 200.0, kind)), *LANES[1:])


def test_three_lanes_reach_the_sum_of_their_limits() -> None:
    run = LaneRun(LANES, rows=2600).run()

    assert run.rate_of((0, 1, 2), 30, 140) >= 0.975 * SUM
    assert {type(outcome) for outcome in run.written} == {Success}
    assert {outcome.lane for outcome in run.written} == {"lane-0", "lane-1", "lane-2"}


@pytest.mark.parametrize("kind", DEATHS)
def test_a_lane_that_dies_takes_no_row_with_it_and_is_used_again(kind: str | int | FaultCause) -> None:
    run = LaneRun(dying(kind), rows=4200, stop_at=300).run()

    assert run.failed() == []
    detected = next(at for at, lane, held in run.held if lane == 0 and held and at >= 100) - 100
    used_again = next(at for at, lane, held in run.held if lane == 0 and not held and at >= 200) - 200
    assert detected <= (12 if kind == "hole" else 2)
    assert used_again <= (35 if kind == "hole" else 20)
    assert run.rate_of((1, 2), 105, 200) >= 0.95 * 7
    assert run.rate_of((0, 1, 2), 240, 295) >= 0.95 * SUM
    assert [lane for at, lane, held in run.held if held and not (lane == 0 and 100 <= at <= 200)] == []


def test_a_lane_that_never_answers_is_told_by_how_long_the_others_take() -> None:
    """Nothing was known of its latency, so a quarter of the file waited there for the full deadline, again and again."""
    run = LaneRun((LanePlan(10, 1.0, dies=(0.0, 1e9, "hole")), LanePlan(10, 1.0)), rows=800, idle_seconds=600).run()

    assert run.failed() == []
    assert run.held[0][1:] == (0, True)
    assert 10 <= run.held[0][0] <= 13
    assert sum(lane == 0 for _, lane, _ in run.sent) <= 140
    assert run.rate_of((1,), 15, 60) >= 0.95 * 10


def test_a_lane_with_few_slots_that_falls_silent_is_told() -> None:
    """Of its last ten departures the first were answered, and no more could leave."""
    run = LaneRun(
        (LanePlan(10, 0.3, workers=4, dies=(30.0, 60.0, "hole")), LanePlan(5, 1.0)), rows=1200, stop_at=100, idle_seconds=20
    ).run()

    assert run.failed() == []
    detected = next(at for at, lane, held in run.held if lane == 0 and held)
    assert 30 <= detected <= 44
    assert run.rate_of((0, 1), 84, 99) >= 0.85 * 15  # the second lane alone: 0.33


def test_a_lane_whose_first_answers_take_longer_than_those_of_others_is_not_lost() -> None:
    run = LaneRun((LanePlan(10, 45.0, workers=500), LanePlan(10, 1.0)), rows=1500).run()

    assert run.failed() == []
    assert run.rate_of((0,), 60, 75) > 0


@pytest.mark.parametrize("status", [429, 503])
def test_a_lane_that_asks_for_a_long_wait_is_used_again_after_it(status: int) -> None:
    """It was out for good, though its rows had only to wait a quarter of an hour, and the run went on for longer."""
    lanes = (LanePlan(1, 1.0, dies=(10.0, 900.0, (status, 900))), LanePlan(0.5, 1.0))
    run = LaneRun(lanes, rows=620, patience_seconds=600).run()

    assert run.failed() == []
    assert run.tallies.gate.stopped is None
    assert sum(lane == 0 and 20 <= at < 900 for at, lane, _ in run.sent) <= 3
    assert run.rate_of((0,), 930, 1000) >= 0.9
    assert run.states[0].refused is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("rows, workers", [(1, 1), (3, 1), (400, 20)])
@pytest.mark.parametrize("begins", [0.0, 5.0])
def test_a_wait_that_is_longer_than_the_patience_stops_a_run_of_one_lane(status: int, rows: int, workers: int, begins: float) -> None:
    run = LaneRun((LanePlan(10, 1.0, workers=workers, dies=(begins, 1e9, (status, 3600))),), rows=rows + int(begins * 10)).run()

    assert run.failed() == []
    assert "it asks to wait 1 h, longer than retry.patience_seconds" in (run.tallies.gate.stopped or "")
    assert run.ended <= begins + 30


@pytest.mark.parametrize("rows", [1, 300])
def test_a_lane_that_answers_with_a_page_of_somebody_else_takes_no_row_with_it(rows: int) -> None:
    """A row was bought twice there, and then written as failed, though another lane would have answered it."""
    run = LaneRun((LanePlan(10, 1.0, dies=(0.0, 1e9, "page")), LanePlan(10, 1.0)), rows=rows).run()

    assert run.failed() == []
    assert {outcome.lane for outcome in run.written} == {"lane-1"}


@pytest.mark.parametrize("kind", DEATHS)
def test_rows_that_a_dead_lane_has_failed_do_not_wait_behind_all_others(kind: Death) -> None:
    """New rows went first for as long as a lane was held, even one that is used no longer, and the output waited for its rows."""
    run = LaneRun((LanePlan(10, 1.0, dies=(5.0, 1e9, kind)), LanePlan(10, 1.0)), rows=900, idle_seconds=10).run()

    asked, answered = {}, {row: at for at, _, row in run.answered}
    for at, lane, row in run.sent:
        if lane == 0 and row not in asked:
            asked[row] = at
    assert run.failed() == []
    assert max(answered[row] - at for row, at in asked.items()) <= 30


def test_what_one_lane_asks_to_wait_holds_no_row_back_that_another_could_take() -> None:
    run = LaneRun((LanePlan(10, 1.0, dies=(0.0, 1e9, (503, 3600))), LanePlan(10, 1.0)), rows=300).run()

    assert run.failed() == []
    assert run.ended <= 60


def test_rows_that_fail_wherever_they_go_hold_no_lane() -> None:
    run = LaneRun(LANES, rows=1500, poison=5).run()

    assert run.held == []
    assert len(run.failed()) == 300
    assert {failure.attempts for failure in run.failed()} == {6}


@pytest.mark.parametrize("left_over", [2, 3, 9])
def test_rows_at_the_end_that_fail_wherever_they_go_become_failures(left_over: int) -> None:
    """Nothing is left that could show that the lane works. The run waited until its patience was over, and again at each resume."""
    run = LaneRun((LanePlan(10, 1.0),), rows=100, poison_from=100 - left_over).run()

    assert len(run.failed()) == left_over
    assert run.tallies.gate.stopped is None
    assert run.ended <= 300


@pytest.mark.parametrize("status", [502, 503])
def test_few_rows_at_the_end_that_meet_a_gateway_without_a_server_are_not_written(status: int) -> None:
    run = LaneRun((LanePlan(10, 1.0),), rows=100, poison_from=95, poison_status=status).run()

    assert run.failed() == []
    assert str(status) in (run.tallies.gate.stopped or "")


def test_many_rows_at_the_end_that_get_an_error_are_not_written() -> None:
    run = LaneRun((LanePlan(10, 1.0),), rows=100, poison_from=70).run()

    assert run.failed() == []
    assert "500" in (run.tallies.gate.stopped or "")


def test_the_run_stops_when_no_lane_is_left() -> None:
    lanes = (LanePlan(10, 1.0, dies=(20, 1e9, 401)), LanePlan(10, 1.0, dies=(40, 1e9, FaultCause.REFUSED)))
    run = LaneRun(lanes, rows=10_000, patience_seconds=60).run()

    assert run.failed() == []
    assert "401" in (run.tallies.gate.stopped or "")
    assert "cannot connect" in (run.tallies.gate.stopped or "")
    assert run.ended <= 40 + 60 + 10


def test_lanes_that_all_refuse_the_key_stop_the_run_at_once() -> None:
    lanes = tuple(LanePlan(10, 1.0, workers=20, dies=(0, 1e9, status)) for status in (401, 403))
    run = LaneRun(lanes, rows=1000).run()

    assert run.written == []
    assert len(run.sent) <= 40
    assert run.ended <= 5


def test_a_lane_of_lower_priority_is_used_only_while_the_other_cannot_take_a_row() -> None:
    alone = LaneRun((LanePlan(10, 0.5), LanePlan(10, 0.5, priority=1)), rows=300, fallback_after_seconds=30).run()
    helped = LaneRun((LanePlan(10, 0.5, dies=(10, 1e9, 500)), LanePlan(10, 0.5, priority=1)), rows=300, fallback_after_seconds=30).run()

    assert {outcome.lane for outcome in alone.written} == {"lane-0"}
    assert {outcome.lane for outcome in helped.written} == {"lane-0", "lane-1"}
    assert helped.failed() == []


def test_weights_divide_the_rows_that_either_lane_could_take() -> None:
    run = LaneRun((LanePlan(1e6, 0.5, workers=200, weight=3), LanePlan(1e6, 0.5, workers=200)), rows=100).run()

    shares = [sum(outcome.lane == f"lane-{lane}" for outcome in run.written) for lane in (0, 1)]
    assert shares[0] == pytest.approx(75, abs=2)


def test_scarce_places_in_flight_go_to_faster_lanes_first() -> None:
    run = LaneRun(LANES, rows=2400, in_flight=60).run()

    assert run.rate_of((0, 1, 2), 30, 140) >= 0.88 * SUM

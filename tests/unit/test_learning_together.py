"""Lanes of one worker that go on from one another: they share what is learned, the room in flight, and what is known of the provider."""

from __future__ import annotations

from math import inf

import pytest

from pipeline.core.pacing.findings import Learned
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import Reply
from pipeline.core.rows.estimate import Calibration
from pipeline.messages import Grant

NOW = 1000.0


def leased(slots: int) -> LeasedLane:
    """A lane without limits that may send; it was told how many may be in flight."""
    lane = LeasedLane([], slots=slots, learn=True)
    lane.receive(Reply([], []), NOW, inf)
    return lane


def next_one(before: LeasedLane, slots: int) -> LeasedLane:
    lane = leased(slots)
    lane.go_on_from(before)
    lane.retune((), NOW, slots=slots)
    return lane


def sent(lane: LeasedLane, now: float) -> Grant:
    grant = lane.admit(now, 1)
    assert isinstance(grant, Grant)
    return grant


@pytest.mark.parametrize("kind", [Lane, LeasedLane])
def test_a_lane_that_goes_on_from_another_knows_what_it_has_learned(kind: type[Lane]) -> None:
    before, lane = (LaneState(kind([], slots=9, learn=True), 9) for _ in range(2))
    before.limits.restore(Learned(540.0, "sliding", 10.0), NOW)
    before.calibrations["m"] = Calibration()
    before.has_worked()
    for _ in range(20):
        before.health.latency.add(0.5)
    before.health.latency.look(NOW, 20)

    Lanes([lane]).go_on_from(Lanes([before]))

    assert lane.limits.learned == Learned(540.0, "sliding", 10.0)
    assert lane.calibrations is before.calibrations
    assert lane.health.trouble.worked
    assert (lane.health.latency.mean, lane.health.latency.p95) == (0.5, 0.5)


def test_what_a_journal_remembers_does_not_replace_what_is_known_since() -> None:
    lanes = Lanes([LaneState(Lane.from_limits(learn=True, max_in_flight=9), 9, name="a")])
    lanes.recall({"a": Learned(540.0, "bucket")}, NOW)

    lanes.recall({"a": Learned(60.0, "bucket")}, NOW)

    assert lanes.learned() == {"a": Learned(540.0, "bucket")}


def test_two_lanes_together_keep_the_pace_that_one_has_learned() -> None:
    one = leased(50)
    one.restore(Learned(600.0, "bucket"), NOW)
    other = next_one(one, 50)

    sends = sum(isinstance(lane.admit(NOW + at / 100, 1), Grant) for at in range(500) for lane in (one, other))

    assert sends <= 52  # ten a second for five seconds


def test_attempts_in_flight_of_both_lanes_are_one_crowd() -> None:
    one = leased(5)
    other = next_one(one, 5)

    crowd = [sent(lane, NOW + at).crowd for at, lane in enumerate((one, other, one))]
    one.answered(Grant(NOW, NOW, 1), NOW + 3)

    assert crowd == [1, 2, 3]
    assert one.in_flight == other.in_flight == 2


def test_a_cap_on_attempts_at_once_is_kept_by_both_lanes_together() -> None:
    one = leased(50)
    one.restore(Learned(None, "in_flight", None, 4), NOW)
    other = next_one(one, 50)
    cap = one.concurrency

    sent(one, NOW)
    sent(one, NOW + 1)

    assert (one.concurrency, other.concurrency) == (cap, cap - 2)


def test_the_room_in_flight_of_a_lane_that_has_ended_is_gone() -> None:
    one = leased(20)
    other = next_one(one, 30)
    assert other._learner is not None
    assert other._learner.finder.slots == 50

    one.end()

    assert other._learner.finder.slots == 30


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_another_part_of_what_was_found_changes_the_pace_and_is_no_reason_to_search(factor: float) -> None:
    lane = leased(50)
    lane.restore(Learned(600.0, "sliding", 10.0), NOW)
    assert lane._learner is not None
    finder = lane._learner.finder
    mode, rate, began = finder.mode, finder.rate, finder._began

    lane.share_found(Learned(factor * 600.0, "sliding", 10.0), NOW + 1)

    assert lane.learned == Learned(factor * 600.0, "sliding", 10.0)
    assert finder.rate == pytest.approx(factor * rate)
    assert finder.mode is mode
    assert finder._began == began  # what is known is no newer, and no sooner tested


def test_a_worker_that_has_found_nothing_begins_with_its_part() -> None:
    lane = leased(50)

    lane.share_found(Learned(600.0, "bucket"), NOW)

    assert lane.learned == Learned(600.0, "bucket")

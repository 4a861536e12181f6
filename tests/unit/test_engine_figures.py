"""What holds a run by workers back, and each of its lanes: sums of what each shard says of itself."""

from __future__ import annotations

import pytest

from pipeline.core.bookkeeping.going import Going, LaneWait
from pipeline.core.cluster.counts import ended, left_behind, only_sent, total
from pipeline.core.cluster.talk import LaneCounts, ShardCounts
from pipeline.core.pacing.findings import Learned
from pipeline.engines.figures import attained, going_together, lane_summaries, lanes_of, limited_by


def shard(*lanes: LaneCounts, seconds: float = 10.0, **held: float) -> ShardCounts:
    return ShardCounts(rows=50, attempts=sum(lane.attempts for lane in lanes), seconds=seconds, held=held, lanes=list(lanes))


EU = LaneCounts(600, 590, 4, 7, {"requests_per_second": 10.0}, "requests_per_second", 100.0, 60.0)
US = LaneCounts(12, 0, 0, 1, {"lane_out": 9.0}, "lane_out", 50.0, None, 9.0)


def test_each_lane_has_the_shares_of_all_workers_time_and_used_what_all_of_them_sent() -> None:
    other = LaneCounts(300, 300, 0, 5, {"in_flight": 4.0}, "in_flight", 100.0, 30.0)

    counts = total([shard(EU, US, requests_per_second=10.0), shard(other, LaneCounts(allowed=50.0, in_flight=1), in_flight=4.0)])
    eu, us = lanes_of(counts, ["eu", "us"], 10.0)

    assert (eu.name, eu.attempts, eu.succeeded, eu.throttled, eu.in_flight, eu.pace) == ("eu", 900, 890, 4, 12, 90.0)
    assert eu.limited_by == {"in_flight": 0.2, "requests_per_second": 0.5}
    assert eu.attained == pytest.approx(0.899)
    assert (us.limited_by, us.attained) == ({"lane_out": 0.45}, 0.022)
    assert us.out_seconds is None  # the other worker sends there
    assert limited_by(counts) == {"in_flight": 0.2, "requests_per_second": 0.5}
    assert attained(counts, 10.0) == pytest.approx(911 / 1500, abs=0.0001)


def test_a_lane_that_no_worker_reaches_is_out_and_one_without_a_limit_has_no_share() -> None:
    both = total([shard(US, LaneCounts(in_flight=1)), shard(LaneCounts(out_seconds=4.0, in_flight=1), LaneCounts(in_flight=1))])

    us, free = lanes_of(both, ["us", "free"], 10.0)

    assert us.out_seconds == 9.0
    assert free.attained is None
    assert attained(both, 10.0) is None
    assert lanes_of(both, ["us", "free"], 1.0)[0].attained is None  # too short to tell


def test_what_a_shard_that_has_ended_had_in_flight_holds_nobody_back() -> None:
    done = total([ended(shard(EU, US)), shard(LaneCounts(5, 5, in_flight=2, pace=4.0), LaneCounts())])

    assert [(lane.attempts, lane.in_flight, lane.bound, lane.pace) for lane in done.lanes] == [(605, 2, "", 4.0), (12, 0, "", None)]


def test_a_shard_that_goes_to_another_worker_keeps_what_was_sent_on_each_lane() -> None:
    left = left_behind(shard(EU), left_behind(shard(US), None))

    assert only_sent(left).lanes[0].attempts == left.lanes[0].attempts == 612
    assert (left.seconds, left.lanes[0].held) == (20.0, {"lane_out": 9.0, "requests_per_second": 10.0})


def test_the_summary_of_a_lane_says_what_its_progress_said() -> None:
    lanes = lanes_of(total([shard(EU)]), ["eu"], 10.0)

    (lane,) = lane_summaries(lanes, [Learned(1140.0, "sliding", in_flight=30), None])
    (unknown,) = lane_summaries(lanes, [])

    assert (lane.name, lane.attempts, lane.succeeded, lane.throttled) == ("eu", 600, 590, 4)
    assert (lane.limited_by, lane.attained, lane.out) == ({"requests_per_second": 1.0}, 0.599, None)
    assert (lane.learned_per_minute, lane.kind, lane.learned_in_flight) == (1140.0, "sliding", 30)
    assert (unknown.learned_per_minute, unknown.kind, unknown.learned_in_flight) == (None, None, None)


def test_status_adds_up_what_shards_used_that_are_run_at_the_same_time() -> None:
    one = Going(bound="in_flight", limited_by={"in_flight": 1.0}, attained=0.4, lanes=(LaneWait("eu", "in_flight", None, {}, 0.4),))
    two = Going(limited_by={"in_flight": 0.5}, attained=0.5, lanes=(LaneWait("eu", "", 3.0, {}, 0.5),))

    both = going_together([one, two, Going()])

    assert (both.bound, both.limited_by, both.attained) == ("in_flight", {"in_flight": 0.75}, 0.9)
    assert both.lanes == (LaneWait("eu", "in_flight", None, {}, 0.9),)
    assert going_together([]) == Going()

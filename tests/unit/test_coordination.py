"""The coordinator of a run with several workers, on a clock that is a number: shards, stops, deaths, and what all of them know."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.cluster.coordination import CoordinatorCore
from pipeline.core.cluster.shards import MOST_TRIES
from pipeline.core.cluster.talk import LaneNews, LaneReport, Poll, ShardCounts, SharedLane, Told
from pipeline.core.pacing.findings import Learned
from pipeline.core.pacing.permits import Demand, GivenUpError

LANE = SharedLane("", [(100, 1.0, False)], 40)
NO_LIMITS = SharedLane("", [], 40)


def coordinator(shards: int = 3, lane: SharedLane = LANE) -> CoordinatorCore:
    return CoordinatorCore([lane], range(shards), expiry=3.0, now=0.0)


def ask(core: CoordinatorCore, worker: str, now: float, **said: Any) -> Told:
    """One message without a flow, and its answer."""
    core.take(Poll(worker, **said), now)
    return core.answer(worker, now)


def report(core: CoordinatorCore, worker: str, now: float, *, flow: str = "", **said: Any) -> Told:
    """One message of a worker with a flow, of its own name if none is given, which is busy unless something else is said."""
    flow = flow or worker
    joins = flow not in core.desks[""].permits.holders
    core.take(Poll(worker, {flow: [LaneReport(Demand(bound=True, rates=[0.0]), joins, **said)]}), now)
    return core.answer(worker, now)


def test_shards_are_given_in_order_and_once() -> None:
    core = coordinator()

    first, second = ask(core, "a", 1.0, wants=True), ask(core, "b", 1.0, wants=True)

    assert (first.shards, second.shards) == ([0], [1])
    assert ask(core, "a", 2.0, running={0: ShardCounts()}).shards == [0]


def test_a_worker_gets_no_second_shard_before_it_says_that_it_runs_the_first() -> None:
    core = coordinator()

    ask(core, "a", 1.0, wants=True)

    assert ask(core, "a", 1.1, wants=True).shards == [0]
    assert ask(core, "a", 1.2, wants=True, running={0: ShardCounts()}).shards == [0, 1]


def test_the_run_is_finished_when_every_shard_is_done() -> None:
    core = coordinator(1)
    ask(core, "a", 1.0, wants=True)
    assert not core.has_news("a", 1.0)

    told = ask(core, "a", 2.0, done={0: ShardCounts(rows=5)}, wants=True)

    assert told.finished
    assert core.picture().counts.rows == 5


def test_a_dead_workers_shard_is_the_next_one() -> None:
    core = coordinator()
    ask(core, "a", 1.0, wants=True)

    core.lost("a", 2.0, may_run=False)

    assert ask(core, "b", 2.0, wants=True).shards == [0]
    assert core.picture().again == 1


def test_a_shard_of_which_every_worker_does_some_rows_is_not_to_blame_for_their_deaths() -> None:
    core = coordinator()
    for number in range(3 * MOST_TRIES):
        ask(core, f"w{number}", 1.0, wants=True)
        ask(core, f"w{number}", 1.5, running={0: ShardCounts(rows=10 + number)})
        core.lost(f"w{number}", 2.0, may_run=False)

    assert core.stopped is None
    assert core.picture().again == 1


def test_permits_of_a_flow_that_its_own_worker_does_not_know_any_more_go_to_others() -> None:
    core = coordinator()
    report(core, "a", 1.0)
    for second in range(2, 9):
        ask(core, "a", float(second))
        core.look(float(second))

    assert report(core, "b", 9.0).lanes["b"][0].reply.grants == [[(0.0, 100)]]


def test_a_shard_that_no_worker_survives_stops_the_run() -> None:
    core = coordinator()
    for number in range(MOST_TRIES):
        assert core.stopped is None
        ask(core, f"w{number}", 1.0, wants=True)
        core.lost(f"w{number}", 2.0, may_run=False)

    assert "shard 0" in (core.stopped or "")


def test_a_worker_that_was_given_up_is_never_answered_again() -> None:
    core = coordinator()
    ask(core, "a", 1.0)

    core.lost("a", 2.0, may_run=True)

    with pytest.raises(GivenUpError):
        ask(core, "a", 3.0)
    assert core.answer("a", 3.0).dead
    again = CoordinatorCore([LANE], range(3), expiry=3.0, now=4.0, kept=core.kept(4.0))
    with pytest.raises(GivenUpError):
        ask(again, "a", 5.0)


def test_a_stop_reaches_everybody_once_and_no_shard_is_given_any_more() -> None:
    core = coordinator()
    ask(core, "a", 1.0)
    ask(core, "b", 1.0)

    core.stop("the key was refused")

    assert core.has_news("a", 1.1)
    assert ask(core, "a", 1.1, wants=True) == Told(stop="the key was refused")
    assert not core.has_news("a", 1.2)
    assert core.has_news("b", 1.2)


def test_a_worker_that_restarts_nothing_keeps_its_shard_with_a_new_coordinator() -> None:
    core = coordinator()

    told = ask(core, "a", 1.0, running={1: ShardCounts()}, wants=True)

    assert told.shards == [1, 0]
    assert ask(core, "b", 1.0, wants=True).shards == [2]


def test_a_silent_workers_permits_go_to_others_and_it_begins_anew() -> None:
    core = coordinator()
    report(core, "a", 1.0)
    report(core, "b", 6.9)

    core.look(7.1)

    assert core.desks[""].permits.holders.keys() == {"b"}
    assert report(core, "b", 7.2).lanes["b"][0].reply.grants[0]
    core.take(Poll("a", {"a": [LaneReport(Demand())]}), 8.0)
    assert core.answer("a", 8.0).given_up == ["a"]


def test_what_a_worker_holds_that_a_new_coordinator_does_not_know_is_given_up() -> None:
    core = coordinator()

    core.take(Poll("a", {"a": [LaneReport(Demand(ages=[[(0.5, 100)]]))]}), 1.0)

    assert core.answer("a", 1.0).given_up == ["a"]


def test_a_new_coordinator_gives_nothing_that_may_still_be_used() -> None:
    core = coordinator()
    report(core, "a", 1.0)

    again = CoordinatorCore([LANE], range(3), expiry=3.0, now=2.0, kept=core.kept(1.5), passed=0.5)

    assert report(again, "b", 4.9).lanes["b"][0].reply.grants == [[]]
    ((wait, count),) = report(again, "b", 5.1).lanes["b"][0].reply.grants[0]
    assert wait == pytest.approx(0.9)
    assert count == 100


def test_a_new_coordinator_keeps_ages_that_outlast_the_former_workers() -> None:
    lane = SharedLane("", [(100, 60.0, False)], 40)
    core = coordinator(lane=lane)
    report(core, "a", 1.0)
    core.take(Poll("a", {"a": [LaneReport(Demand(ages=[[(2.0, 30), (40.0, 50)]]))]}), 1.0)

    again = CoordinatorCore([lane], (), expiry=3.0, now=1.0, kept=core.kept(1.0))

    assert sorted(again.desks[""].permits.pools[0].free) == [(41.0, 50), (64.0, 50)]


def test_the_longest_pause_is_everybodys() -> None:
    core = coordinator()
    report(core, "a", 1.0)
    report(core, "b", 1.0)

    report(core, "a", 2.0, news=LaneNews(pause=10.0))

    assert core.has_news("b", 2.5)
    assert report(core, "b", 3.0, news=LaneNews(pause=2.0)).lanes["b"][0].pause == pytest.approx(9.0)
    assert not core.desks[""].has_news("b", 3.1)


def test_an_outage_is_told_to_the_others_only() -> None:
    core = coordinator()
    report(core, "a", 1.0)
    report(core, "b", 1.0)

    assert report(core, "a", 2.0, news=LaneNews(held="no answer")).lanes["a"][0].held == ""
    assert core.has_news("b", 2.0)
    assert report(core, "b", 2.0).lanes["b"][0].held == "no answer"
    report(core, "a", 3.0)
    assert report(core, "b", 3.0).lanes["b"][0].held == ""


def test_who_found_an_outage_first_probes_for_all_and_the_next_one_when_it_ends() -> None:
    core = coordinator()
    for name in ("a", "b", "c"):
        report(core, name, 1.0)

    assert report(core, "b", 2.0, news=LaneNews(held="b's", shut=True)).lanes["b"][0].held == ""
    told = report(core, "a", 2.0, news=LaneNews(held="a's", shut=True)).lanes["a"][0]
    assert (told.held, told.shut) == ("b's", True)
    assert report(core, "c", 2.0).lanes["c"][0].held == "b's"
    core.lost("b", 3.0, may_run=False)

    assert core.has_news("c", 3.0)
    assert report(core, "c", 3.0).lanes["c"][0].held == "a's"
    mine = report(core, "a", 3.0, news=LaneNews(held="a's", shut=True)).lanes["a"][0]
    assert (mine.held, mine.shut) == ("", False)


def test_those_who_send_share_what_is_announced() -> None:
    core = coordinator()
    for name in ("a", "b"):
        report(core, name, 1.0)

    shares = [report(core, name, 2.0).lanes[name][0].share for name in ("a", "b")]

    assert shares == [0.5, 0.5]
    core.lost("b", 3.0, may_run=False)
    assert core.has_news("a", 3.0)
    assert report(core, "a", 3.0).lanes["a"][0].share == 1.0


def test_a_lane_that_is_out_for_one_is_out_for_all() -> None:
    core = coordinator()
    report(core, "a", 1.0)
    report(core, "b", 1.0)

    report(core, "a", 2.0, news=LaneNews(out="nothing left in the account"))

    assert core.has_news("b", 2.0)
    assert report(core, "b", 2.0).lanes["b"][0].out == "nothing left in the account"
    assert not core.desks[""].has_news("b", 2.0) or core.desks[""].permits.has_news("b", 2.0)


def test_what_was_found_of_a_limit_is_shared_out_when_somebody_joins_or_leaves() -> None:
    core = coordinator()
    report(core, "a", 1.0)
    report(core, "a", 2.0, news=LaneNews(learned=Learned(600.0, "bucket")))

    joined = report(core, "b", 3.0)

    assert joined.lanes["b"][0].learned == Learned(300.0, "bucket")
    assert report(core, "a", 3.1, news=LaneNews(learned=Learned(600.0, "bucket"))).lanes["a"][0].learned == Learned(300.0, "bucket")
    core.lost("b", 4.0, may_run=False)
    assert report(core, "a", 4.5).lanes["a"][0].learned is None  # it may be between two shards
    assert core.has_news("a", 5.1)
    assert report(core, "a", 5.1).lanes["a"][0].learned == Learned(600.0, "bucket")
    assert core.picture().learned == [Learned(600.0, "bucket")]


def test_the_flows_of_one_worker_have_one_part_of_what_was_found() -> None:
    core = coordinator()
    report(core, "a", 1.0, flow="a/0")
    report(core, "a", 2.0, flow="a/0", news=LaneNews(learned=Learned(600.0, "bucket")))
    both = (("a/0", LaneNews(learned=Learned(600.0, "bucket"))), ("a/1", LaneNews(learned=Learned(600.0, "bucket"))))

    for name, news in both:
        assert report(core, "a", 3.0, flow=name, news=news).lanes[name][0].learned is None
    assert core.picture().learned == [Learned(600.0, "bucket")]

    report(core, "b", 4.0)
    told = report(core, "a", 4.1, flow="a/0").lanes
    assert [told[name][0].learned for name, _ in both] == [Learned(300.0, "bucket")] * 2  # one of them may be about to end


def test_a_limit_that_is_shut_for_one_flow_is_probed_by_all_flows_of_its_worker() -> None:
    core = coordinator()
    shut = LaneNews(shut=True)
    report(core, "a", 1.0, flow="a/0", news=shut)
    both = report(core, "a", 1.1, flow="a/1", news=shut).lanes

    other = report(core, "b", 1.2).lanes

    assert [both[name][0].shut for name in ("a/0", "a/1")] == [False, False]
    assert other["b"][0].shut


def test_attempts_in_flight_never_add_up_to_more_than_the_run_allows() -> None:
    core = coordinator()
    assert report(core, "a", 1.0).lanes["a"][0].slots == 40
    assert report(core, "b", 1.0).lanes["b"][0].slots == 0  # nothing is free yet

    report(core, "a", 2.0, slots=40, in_flight=40)
    fewer = report(core, "a", 2.1, slots=20, in_flight=33).lanes["a"][0].slots

    assert fewer == 20
    assert report(core, "b", 2.2).lanes["b"][0].slots == 7
    report(core, "a", 2.3, slots=20, in_flight=20)
    assert report(core, "b", 2.4, slots=7, in_flight=7).lanes["b"][0].slots == 20


def test_what_was_counted_of_a_shard_stays_counted_when_its_worker_leaves_it() -> None:
    core = coordinator(2)
    ask(core, "a", 1.0, wants=True)
    ask(core, "a", 2.0, running={0: ShardCounts(rows=5, attempts=7, in_flight=3, bound="learned")})

    core.stop("interrupted")
    for _ in range(2):  # a message may be repeated
        ask(core, "a", 3.0, back={0: ShardCounts(rows=8, attempts=9, retries=1, bound="learned")})
    core.leave("a", 4.0)

    assert core.picture().counts == ShardCounts(rows=8, attempts=9, retries=1)


def test_rows_of_a_shard_are_counted_once_and_attempts_of_all_workers_that_had_it() -> None:
    core = coordinator(1)
    ask(core, "a", 1.0, wants=True)
    ask(core, "a", 2.0, running={0: ShardCounts(rows=5, attempts=7, throttled=2)})
    core.lost("a", 3.0, may_run=False)
    assert core.picture().counts == ShardCounts(rows=5, attempts=7, throttled=2)

    ask(core, "b", 4.0, wants=True)
    ask(core, "b", 5.0, running={0: ShardCounts(rows=6, resumed=5, attempts=1)})
    assert core.picture().counts == ShardCounts(rows=6, resumed=5, attempts=8, throttled=2)

    ask(core, "b", 6.0, back={0: ShardCounts()})  # another process has the lock
    assert core.picture().counts == ShardCounts(rows=5, attempts=7, throttled=2)


def alike(core: CoordinatorCore, name: str, now: float, rows: int, *, succeeded: int = 0, in_flight: int = 0) -> tuple[int, bool]:
    """What a holder is to add to so many rows that got the same answer, and whether it is in doubt."""
    told = report(core, name, now, news=LaneNews(alike={"404": rows}, succeeded=succeeded), slots=20, in_flight=in_flight).lanes[name][0]
    return told.alike.get("404", 0), told.in_doubt


def test_rows_with_the_same_answer_are_added_up_until_one_succeeds() -> None:
    core = CoordinatorCore([SharedLane("", [], 40, stop_after=20)], range(3), expiry=3.0, now=0.0)
    for second in (0.1, 0.2, 0.3):
        assert [alike(core, name, second, 0) for name in "ab"] == [(0, True)] * 2

    said = [alike(core, "a", 1.0, 12), alike(core, "b", 1.1, 7), alike(core, "b", 1.2, 9, in_flight=1)]
    assert core.has_news("a", 1.2) is False
    said += [alike(core, "a", 1.3, 12), alike(core, "b", 1.4, 9)]
    assert core.has_news("a", 1.4)
    said += [alike(core, "a", 1.5, 12), alike(core, "b", 1.6, 1, succeeded=1)]
    assert core.has_news("a", 1.6)
    said += [alike(core, "a", 1.7, 14), alike(core, "b", 1.8, 1, succeeded=1)]

    assert said == [
        *((0, True), (12, True), (12, False)),
        *((9, True), (12, False)),
        *((9, False), (0, True)),
        *((1 - 12, True), (2, True)),
    ]


def test_a_worker_that_ends_for_too_many_same_answers_does_not_let_the_others_go_on() -> None:
    core = CoordinatorCore([SharedLane("", [], 40, stop_after=20)], range(3), expiry=3.0, now=0.0)
    alike(core, "a", 1.0, 15)
    alike(core, "b", 1.1, 5)

    core.leave("a", 1.2)

    assert alike(core, "b", 1.3, 5) == (15, False)


def keys(core: CoordinatorCore, name: str, now: float, rows: int, *, succeeded: int = 0) -> tuple[int, bool, bool]:
    """A holder says that the key of so many rows was refused: what it is to add, whether it waits for others, whether it is so for all."""
    told = report(core, name, now, news=LaneNews(alike={"key": rows} if rows else {}, succeeded=succeeded), slots=13).lanes[name][0]
    return told.alike.get("key", 0), told.key_in_doubt, told.key_refused


def test_a_refused_key_is_counted_over_all_workers_once_each_of_them_has_been_heard() -> None:
    core = coordinator(lane=NO_LIMITS)
    for second in (0.1, 0.2, 0.3):
        for name in "abc":
            keys(core, name, second, 0)

    said = [keys(core, "a", 1.0, 2), keys(core, "b", 1.1, 1), keys(core, "a", 1.2, 2)]
    assert not core.has_news("b", 1.2)
    said.append(keys(core, "c", 1.3, 0))

    assert core.has_news("b", 1.3)
    assert said == [(0, True, False), (2, True, False), (1, True, False), (3, False, True)]
    assert keys(core, "b", 1.4, 1) == (2, False, True)


def test_a_success_of_another_worker_shows_that_a_refused_key_is_not_refused_to_all() -> None:
    core = coordinator(lane=NO_LIMITS)
    for name in "abc":
        keys(core, name, 0.1, 0)

    keys(core, "a", 1.0, 2)
    keys(core, "b", 1.1, 1)
    keys(core, "c", 1.2, 0, succeeded=1)

    assert keys(core, "a", 1.3, 2) == (-2, False, False)
    assert keys(core, "b", 1.4, 2) == (-1, True, False)


def test_what_a_flow_met_counts_after_it_has_ended_unless_its_rows_are_sent_again() -> None:
    core = coordinator(lane=NO_LIMITS)
    keys(core, "a", 1.0, 0)
    keys(core, "b", 1.0, 0)

    core.take(Poll("a", left={"a": [[]]}, last={"a": [LaneNews(alike={"key": 1})]}), 1.1)
    keys(core, "b", 1.2, 1)
    assert keys(core, "c", 1.3, 0)[0] == 2
    core.lost("b", 1.4, may_run=False)

    assert keys(core, "c", 1.5, 0)[0] == 1


def test_a_flow_that_joins_learns_with_its_first_answer_that_the_lane_has_worked() -> None:
    core = coordinator(lane=NO_LIMITS)
    assert not report(core, "a", 1.0).lanes["a"][0].worked

    core.take(Poll("a", left={"a": [[]]}, last={"a": [LaneNews(worked=True)]}), 1.1)

    assert report(core, "b", 1.2).lanes["b"][0].worked

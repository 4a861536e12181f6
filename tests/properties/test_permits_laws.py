"""Law 4 for a limit that several processes share: no window holds more than the limit, whoever sent, joined or died."""

from __future__ import annotations

from os import environ
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.pacing.lane import Bound, Limit, Wait
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import Coordinator, Demand, GivenUpError, Pool, share_out
from tests.fakes.limited import fullest_window
from tests.fakes.virtual_permits import Cluster, Plan

SECOND = Limit(Bound.REQUESTS_PER_SECOND, 300, 1.0)
BUSY = (True,)

request_limits = st.builds(
    Limit,
    bound=st.just(Bound.REQUESTS_PER_SECOND),
    amount=st.integers(1, 200),
    period=st.sampled_from([0.5, 1.0, 3.0]),
    burst=st.none() | st.integers(1, 50),
)
token_limits = st.builds(Limit, bound=st.just(Bound.TOKENS_PER_MINUTE), amount=st.integers(800, 20_000), period=st.just(2.0))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    holders = draw(st.integers(1, 4))
    limit = draw(request_limits | token_limits)
    return Plan(
        limit,
        demand=draw(st.tuples(*[st.lists(st.booleans(), min_size=1, max_size=6).map(tuple)] * holders)),
        seconds=4 * limit.period,
        delay_seconds=draw(st.sampled_from([0.0005, 0.002, 0.05])),
        report_seconds=draw(st.sampled_from([0.02, 0.1, 0.5])),
        deaths=tuple(draw(st.lists(st.tuples(st.floats(0.05, 0.9), st.integers(0, holders - 1), st.booleans()), max_size=4))),
        tokens=(1, 800) if limit.bound is Bound.TOKENS_PER_MINUTE else None,
        late_seconds=draw(st.sampled_from([0.0, 0.0005])),
        seed=draw(st.integers(0, 1 << 16)),
    )


@given(plan=plans())
@settings(max_examples=int(environ.get("PERMIT_PLANS", "30")), deadline=None)  # more by hand: a plan takes 0.1 s
def test_no_window_holds_more_than_the_limit(plan: Plan) -> None:
    cluster = Cluster(plan)

    cluster.run()

    assert fullest_window(cluster.departures, plan.limit.period) <= plan.limit.amount


@pytest.mark.parametrize("holders", [1, 2, 4])
def test_busy_holders_reach_the_limit_together(holders: int) -> None:
    cluster = Cluster(Plan(SECOND, (BUSY,) * holders, seconds=12.0))

    cluster.run()

    steady = sum(cost for at, cost in cluster.departures if at >= 102.0)
    assert steady >= 0.98 * 300 * 10


def test_permits_follow_the_demand() -> None:
    """Every two seconds all demand moves to the other half of the holders."""
    turns = (True, False) * 4
    cluster = Cluster(Plan(SECOND, (turns, turns, turns[::-1], turns[::-1]), seconds=16.0, report_seconds=0.05))

    cluster.run()

    assert sum(cost for at, cost in cluster.departures if at >= 102.0) >= 0.85 * 300 * 14


def test_the_permits_of_the_dead_are_used_again() -> None:
    cluster = Cluster(Plan(SECOND, (BUSY, BUSY), seconds=12.0, deaths=((0.3, 0, False), (0.6, 1, True))))

    cluster.run()

    assert sum(cost for at, cost in cluster.departures if at >= 102.0) >= 0.8 * 300 * 10


def test_a_holder_that_hears_nothing_sends_nothing() -> None:
    lane, coordinator = LeasedLane([SECOND]), Coordinator.of(LeasedLane([SECOND]).shared)

    assert isinstance(lane.admit(1.0, 0), Wait)
    lane.receive(coordinator.report("a", lane.demand(1.0), 1.0), 1.0, valid_until=2.0)
    assert not isinstance(lane.admit(1.5, 0), Wait)
    assert isinstance(lane.admit(2.0, 0), Wait)


def test_a_holder_that_was_given_up_is_not_answered() -> None:
    coordinator = Coordinator.of(LeasedLane([SECOND]).shared)
    coordinator.report("a", Demand(), 1.0)

    coordinator.give_up("a", 2.0)

    with pytest.raises(GivenUpError):
        coordinator.report("a", Demand(), 3.0)


def test_what_an_unseen_process_may_still_use_is_locked_until_it_must_have_stopped() -> None:
    coordinator = Coordinator.of([(10, 1.0, False)])
    coordinator.report("a", Demand(), 0.0)

    coordinator.give_up("a", 5.0, hold=3.0)

    assert coordinator.report("b", Demand(), 7.5).grants == [[]]
    assert coordinator.report("b", Demand(), 8.5).grants == [[(0.5, 10)]]


def test_a_dead_holder_gives_back_no_more_than_it_held() -> None:
    """An attempt that left late counts twice in its ages, if the permit of its ticket was handed over before."""
    coordinator = Coordinator.of([(10, 1.0, False)])
    coordinator.report("a", Demand(), 0.0)
    coordinator.report("a", Demand(ages=[[(0.5, 7), (0.9, 4)]]), 1.0)

    assert sum(count for _, count in coordinator.kept(1.0)[0]) == 10
    coordinator.give_up("a", 1.0)

    assert coordinator.pools[0].size == 10
    assert sorted(coordinator.pools[0].free) == [(1.5, 6), (1.9, 4)]


@pytest.mark.parametrize("sizes", [{"a": 900, "b": 0}, {"a": 900, "b": 900}])
def test_one_request_may_need_more_than_a_share(sizes: dict[str, int]) -> None:
    """Both get their turn, in periods one after the other."""
    limit = Limit(Bound.TOKENS_PER_MINUTE, 1000, 60.0)
    lanes = {name: LeasedLane([limit]) for name in sizes}
    coordinator = Coordinator.of(lanes["a"].shared)
    passed = dict.fromkeys(sizes, 0)

    for step in range(1500):
        now = 0.2 * step
        for name, lane in lanes.items():
            if not isinstance(lane.admit(now, sizes[name]), Wait):
                passed[name] += 1
                lane.handed_out(1, now, now)
            lane.receive(coordinator.report(name, lane.demand(now), now), now)

    assert passed["a"] >= 2
    assert passed["b"] >= 2


@given(seed=st.integers(0, 1 << 20), settle_share=st.sampled_from([0.1, 0.5, 1.0]))
def test_permits_are_conserved_when_departures_are_corrected_late(seed: int, settle_share: float) -> None:
    random = Random(seed)
    lanes = [LeasedLane([SECOND]), LeasedLane([SECOND])]
    pool = Pool(300, 1.0045, [(0.0, 300)])
    granted = []
    now = 100.0
    for step in range(400):
        now += 0.003
        lane = random.choice(lanes)
        lane.valid_until = now + 1
        grant = lane.admit(now, 0)
        if not isinstance(grant, Wait):
            lane.handed_out(1, now, now)
            granted.append((lane, grant))
        if granted and random.random() < settle_share:
            sender, earlier = granted.pop(0)
            sender.settle(earlier, now, sent_at=now)
        if step % 7 == 0:
            giver, taker = random.sample(lanes, 2)
            (back,) = giver._give_back([random.randint(0, 300)], now)
            pool.put(back, now)
            for meter in taker._meters:
                meter.receive(pool.take(random.randint(0, 300), now), now)
        assert sum(lane.held[0] for lane in lanes) + pool.size == 300
        assert all(count > 0 for _, count in pool.free)


@given(
    amount=st.integers(0, 1000), wants=st.dictionaries(st.sampled_from("abcdefgh"), st.just(float("inf")) | st.floats(0, 1000), min_size=1)
)
def test_shares_add_up_and_are_fair(amount: int, wants: dict[str, float]) -> None:
    shares = share_out(amount, wants)

    assert sum(shares.values()) == amount
    hungry = [shares[name] for name, want in wants.items() if want >= shares[name] + 1]  # whole permits: less than one may be missing
    assert all(shares[name] <= min(hungry) + 1 for name in wants) if hungry else True

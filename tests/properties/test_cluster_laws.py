"""Laws L1 to L5 of a run with several workers, on virtual time: the limits hold whatever joins, dies, sleeps, is cut off or begins anew.

More plans by hand: `python -m benchmarks.cluster_plans 10000`.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.pacing.lane import Bound, Limit
from pipeline.engines.ray.link import park_seconds
from tests.fakes.limited import fullest_window
from tests.fakes.virtual_cluster import Cluster, Plan, Trouble, random_plan

SECOND = Limit(Bound.REQUESTS_PER_SECOND, 300, 1.0)
BUSY = (True,)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_no_window_holds_more_than_the_limit(seed: int) -> None:
    plan = random_plan(seed)
    cluster = Cluster(plan)

    cluster.run()

    assert fullest_window(cluster.departures, plan.limit.period) <= plan.limit.amount


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_busy_workers_reach_the_limit_together(workers: int) -> None:
    cluster = Cluster(Plan(SECOND, (BUSY,) * workers, seconds=10.0))

    cluster.run()

    assert cluster.attained(2.0) >= 0.985


def test_permits_follow_the_demand() -> None:
    """Every five seconds all demand moves to the other half of the workers."""
    turns = (True, False, True, False)
    cluster = Cluster(Plan(SECOND, (turns, turns, turns[::-1], turns[::-1]), seconds=20.0))

    cluster.run()

    assert cluster.attained(2.0) >= 0.95


def test_two_workers_that_die_cost_little() -> None:
    """What a worker used after its last report is in doubt, so reports must be fresh."""
    troubles = (Trouble(0.3, "kill", 0), Trouble(0.6, "kill", 1))
    plan = Plan(SECOND, (BUSY, BUSY), seconds=20.0, troubles=troubles)
    cluster = Cluster(plan)

    cluster.run()

    assert plan.park_seconds == park_seconds(workers=2, expiry=plan.expiry)
    assert cluster.attained(2.0) >= 0.975


def test_a_dead_workers_permits_and_a_restart_cost_little() -> None:
    troubles = (Trouble(0.3, "kill", 0), Trouble(0.5, "coordinator"), Trouble(0.75, "kill", 1))
    cluster = Cluster(Plan(SECOND, (BUSY, BUSY), seconds=40.0, troubles=troubles))

    cluster.run()

    assert cluster.attained(2.0) >= 0.85  # the restart costs the expiry and a period, four seconds of forty

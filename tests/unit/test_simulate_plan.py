"""When a row's later attempts differ from its first."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.simulate import Distribution, Fault, LatencyConfig, SimulateConfig
from pipeline.simulate.plan import Planner, digest_of

PARETO = LatencyConfig(distribution=Distribution.PARETO, median_seconds=1.0, spread=1.0, max_seconds=1000.0)
DIGESTS = [digest_of(b"%d" % number) for number in range(300)]


def test_row_that_was_very_slow_draws_anew_when_it_is_sent_again() -> None:
    planner = Planner(SimulateConfig(latency=PARETO))

    waits = {digest: [planner.plan(digest, "").wait_seconds for _ in range(2)] for digest in DIGESTS}

    slow = [again for first, again in waits.values() if first > 4]
    assert slow
    assert sum(again < 4 for again in slow) > len(slow) / 2
    assert all(first == again for first, again in waits.values() if first <= 4)


def test_seed_changes_faults_and_latencies() -> None:
    first, second = (Planner(SimulateConfig(seed=seed, latency=PARETO, faults={"stall": 0.5})) for seed in (1, 2))

    plans = [(first.plan(digest, ""), second.plan(digest, "")) for digest in DIGESTS]

    assert any(one.fault is not other.fault for one, other in plans)
    assert all(one.wait_seconds != other.wait_seconds for one, other in plans)


def test_scripted_row_is_out_of_the_shares() -> None:
    planner = Planner(SimulateConfig(faults={"stall": 1.0}, script={"7": "ok, http_500"}))

    assert [planner.plan(DIGESTS[0], "row 7").fault for _ in range(3)] == [None, Fault.HTTP_500, None]
    assert planner.plan(DIGESTS[1], "row 8").fault is Fault.STALL


def test_poison_hits_the_same_rows_at_every_attempt() -> None:
    planner = Planner(SimulateConfig(poison={"http_500": 0.2}))

    met = [{planner.plan(digest, "").fault for _ in range(5)} for digest in DIGESTS]

    assert all(len(faults) == 1 for faults in met)
    assert 40 <= sum(faults == {Fault.HTTP_500} for faults in met) <= 80


def test_flaky_relay_draws_for_each_attempt() -> None:
    planner = Planner(SimulateConfig(flaky={"http_429": 0.1, "http_503": 0.1}))

    attempts = [[planner.plan(digest, "").fault for _ in range(10)] for digest in DIGESTS]

    fallen = Counter(fault for row in attempts for fault in row)
    assert fallen[Fault.HTTP_429] == pytest.approx(300, rel=0.2)
    assert fallen[Fault.HTTP_503] == pytest.approx(300, rel=0.2)
    assert sum(set(row) == {None} for row in attempts) == pytest.approx(300 * 0.8**10, abs=15)


def test_flaky_relay_is_the_same_in_every_run() -> None:
    first, second = (Planner(SimulateConfig(flaky={"http_429": 0.5})) for _ in range(2))

    assert [first.plan(digest, "").fault for digest in DIGESTS * 2] == [second.plan(digest, "").fault for digest in DIGESTS * 2]

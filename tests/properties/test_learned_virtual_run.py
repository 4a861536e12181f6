"""The learned pace in a whole run on virtual time: real stages, against the embedded provider, with health, retries and the heap."""

from __future__ import annotations

import heapq
from random import Random
from statistics import median

import pytest

from pipeline.records import Success
from pipeline.simulate import Dialect, Distribution, LatencyConfig, RetryAfter, SimulateConfig, SimulatedLimits
from tests.fakes.simulated_run import SimulatedRun
from tests.fakes.virtual_run import Plan, RowPlan

ROWS, SLOTS = 300, 20
SPREAD = 0.5


def semaphore_seconds(latency: float, seed: int) -> float:
    """How long the openai SDK takes with a semaphore: its twenty holders sleep the second that they are told."""
    draws = Random(seed)
    free = [0.0] * SLOTS
    for _ in range(ROWS):
        at = heapq.heappop(free)
        while draws.random() < 0.2:
            at += 1.0 + latency * draws.lognormvariate(0.0, SPREAD)
        heapq.heappush(free, at + latency * draws.lognormvariate(0.0, SPREAD))
    return max(free)


def flaky_run(latency: float, seed: int) -> SimulatedRun:
    simulate = SimulateConfig(
        seed=seed,
        latency=LatencyConfig(distribution=Distribution.LOGNORMAL, median_seconds=latency, spread=SPREAD, max_seconds=30.0),
        limits=SimulatedLimits(retry_after=RetryAfter.SECONDS, dialect=Dialect.NONE),
        flaky={"http_429": 0.1, "http_503": 0.1},
        retry_after_seconds=1.0,
    )
    plan = Plan(rows=(RowPlan(),) * ROWS, window=400, workers=SLOTS, attempts=6, slice_rows=100, learn=True)
    return SimulatedRun(plan=plan, simulate=simulate).run()


@pytest.mark.parametrize("latency", [0.05, 0.3, 1.0])
def test_flaky_relay_is_no_slower_than_with_a_semaphore(latency: float) -> None:
    """Refusals at random were taken for a limit: the median took 1.2 to 1.4 times as long, the slowest of twenty 3 to 7 times."""
    semaphore = median(semaphore_seconds(latency, seed) for seed in range(21))

    runs = [flaky_run(latency, seed) for seed in range(9)]

    assert all(isinstance(outcome, Success) for run in runs for outcome in run.written)
    ratios = sorted((run.ended - run.started) / semaphore for run in runs)
    assert ratios[4] <= 1.05
    assert ratios[-1] <= 1.4

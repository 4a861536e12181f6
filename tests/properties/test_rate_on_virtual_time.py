"""The rate limit as a provider counts it, exactly: whole runs on virtual time, where nothing is late unless the plan says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Success
from pipeline.simulate import LatencyConfig, SimulateConfig, SimulatedLimits
from tests.fakes.simulated_run import SimulatedRun
from tests.fakes.virtual_run import Plan, RowPlan

MIXED = {"http_500": 0.05, "reset_before": 0.05, "http_503": 0.05, "http_429": 0.05}
ROWS = tuple(RowPlan() for _ in range(400))


def run(rate: float, *, workers: int = 50, latency: float = 0.02, limits: SimulatedLimits | None = None) -> SimulatedRun:
    simulate = SimulateConfig(
        latency=LatencyConfig(median_seconds=latency), flaky={} if limits else MIXED, limits=limits or SimulatedLimits()
    )
    plan = Plan(ROWS, window=200, workers=workers, attempts=20, requests_per_second=rate)
    return SimulatedRun(plan, simulate=simulate).run()


@settings(max_examples=20)  # a run of hundreds of rows each
@given(st.integers(2, 400), st.sampled_from([1, 7, 50]), st.sampled_from([0.0, 0.02, 3.0]))
def test_no_sliding_second_has_more_requests_than_the_limit(rate: int, workers: int, latency: float) -> None:
    done = run(rate, workers=workers, latency=latency)

    assert done.provider.statistics().max_requests_in_second <= rate
    assert all(isinstance(outcome, Success) for outcome in done.written)
    assert len(done.written) == len(ROWS)


def test_provider_with_the_same_limit_refuses_nothing_and_has_it_used_up() -> None:
    done = run(100, limits=SimulatedLimits(requests_per_second=100))

    took = done.sent[-1][0] - done.sent[0][0]
    assert done.provider.statistics().refused == 0
    assert (len(done.sent) - 1) / took == pytest.approx(100, rel=0.01)

"""What one worker finds out of the provider, all know: several workers cost a provider that is down, shut or angry no more than one.

Real stages and the real coordinator, on virtual time.
"""

from __future__ import annotations

import pytest

from pipeline.records import Success
from pipeline.simulate import Dialect, LatencyConfig, RetryAfter, SimulateConfig, SimulatedLimits, SimulatedOutage
from tests.fakes.virtual_run import Plan, RowPlan
from tests.fakes.virtual_workers import VirtualWorkers

SLOTS = 8
LATENCY = LatencyConfig(median_seconds=0.2)
DOWN_AT, DOWN_SECONDS = 2.0, 60.0
KNOWN_SECONDS = 2.0  # after which all know of it


def run(rows: int, workers: int, **simulate: object) -> VirtualWorkers:
    plan = Plan(rows=(RowPlan(),) * rows, window=400, workers=SLOTS, attempts=6, slice_rows=100, learn=True)
    settings = SimulateConfig(latency=LATENCY, **simulate)  # type: ignore[arg-type]  # its own settings
    return VirtualWorkers(plan=plan, simulate=settings, count=workers).run()


def answers(run: VirtualWorkers, status: int) -> int:
    return run.provider.tally.statistics().answers.get(status, 0)


def probes(run: VirtualWorkers) -> list[float]:
    """When attempts left from some seconds after the outage began until it ended."""
    return [at for at, *_ in run.sent if DOWN_AT + KNOWN_SECONDS < at - run.started < DOWN_AT + DOWN_SECONDS]


@pytest.mark.parametrize("fault, status", [("http_503", 503), ("http_429", 429)])
@pytest.mark.parametrize("wait", [0.0, 1.0])
def test_one_worker_asks_for_all_whether_the_provider_is_back(fault: str, status: int, wait: float) -> None:
    outage = SimulatedOutage(fault=fault, at_seconds=DOWN_AT, seconds=DOWN_SECONDS)

    two = run(240, 2, outages=(outage,), retry_after_seconds=wait)
    one = run(240, 1, outages=(outage,), retry_after_seconds=wait)

    assert all(isinstance(outcome, Success) for outcome in [*two.written, *one.written])
    assert answers(two, status) <= answers(one, status) + 2 * SLOTS  # those that were in flight as the others heard of it
    assert len(probes(two)) <= len(probes(one)) + 2


def test_a_key_that_is_refused_costs_no_more_than_what_was_in_flight() -> None:
    stopped = run(400, 2, outages=(SimulatedOutage(fault="wrong_key", at_seconds=DOWN_AT),))

    assert all("401" in (reason or "") or reason == "interrupted" for reason in stopped.stopped)
    assert answers(stopped, 401) <= 2 * SLOTS


def test_what_a_provider_announces_is_for_all_workers_together() -> None:
    limits = SimulatedLimits(requests_per_minute=300, dialect=Dialect.OPENAI, retry_after=RetryAfter.HEADER)

    done = run(300, 2, limits=limits)

    assert answers(done, 429) == 0
    assert done.ended - done.started <= 66  # a minute, and its start

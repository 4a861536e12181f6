"""What one shard has learned of a provider's limits, the next one knows, and several workers' paces add up to what it allows.

A run of many short shards attains at least 0.9 of what one long shard attains, where nobody says what the limit is. Real stages and the
real coordinator, on virtual time.
"""

from __future__ import annotations

import pytest

from pipeline.records import Success
from pipeline.simulate import Dialect, LatencyConfig, LimitKind, RetryAfter, SimulateConfig, SimulatedLimits
from tests.fakes.virtual_run import Plan, RowPlan
from tests.fakes.virtual_workers import VirtualWorkers

ROWS, A_SECOND = 2400, 60
SHARE = 0.9


def rows_a_second(kind: LimitKind, workers: int, shard_rows: int) -> float:
    """By a provider that allows 60 requests in a second, and says so to nobody."""
    limits = SimulatedLimits(
        kind=kind, requests_per_minute=60 * A_SECOND, window_seconds=1.0, dialect=Dialect.NONE, retry_after=RetryAfter.NONE
    )
    plan = Plan(rows=(RowPlan(),) * ROWS, window=1000, workers=50, attempts=100, slice_rows=100, learn=True)
    simulate = SimulateConfig(latency=LatencyConfig(median_seconds=0.2), limits=limits)
    run = VirtualWorkers(plan=plan, simulate=simulate, count=workers, shard_rows=shard_rows, overlap=True).run()
    assert len(run.written) == ROWS
    assert all(isinstance(outcome, Success) for outcome in run.written)
    return ROWS / (run.ended - run.started)


@pytest.mark.parametrize("workers, shard_rows", [(1, 150), (2, 60)])
@pytest.mark.parametrize("kind", [LimitKind.SLIDING_WINDOW, LimitKind.TOKEN_BUCKET])
def test_many_short_shards_attain_what_one_long_shard_attains(kind: LimitKind, workers: int, shard_rows: int) -> None:
    """Which of two workers is first is chance, and so is how long they search at first: the better of two runs counts."""
    attained = max(rows_a_second(kind, workers, shard_rows) for _ in range(workers))

    assert attained >= SHARE * rows_a_second(kind, 1, ROWS)

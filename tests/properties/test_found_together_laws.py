"""What one worker finds out of the provider, all know: several workers cost a provider that is down, shut or angry no more than one.

Real stages and the real coordinator, on virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.refusals import IN_A_ROW
from pipeline.records import Answer, Failure, Success
from pipeline.simulate import Dialect, LatencyConfig, RetryAfter, SimulateConfig, SimulatedLimits, SimulatedOutage
from tests.fakes.virtual_run import Plan, RowPlan
from tests.fakes.virtual_workers import LOOK_SECONDS, PARK_SECONDS, VirtualWorkers

if TYPE_CHECKING:
    from pipeline.records import Fault, Job

SLOTS = 8
STOP_AFTER = RetryPolicy().stop_after or 0
LATENCY = LatencyConfig(median_seconds=0.2)
DOWN_AT, DOWN_SECONDS = 2.0, 60.0
KNOWN_SECONDS = 2.0  # after which all know of it


def plan(rows: int, **more: object) -> Plan:
    return Plan(rows=(RowPlan(),) * rows, window=400, workers=SLOTS, attempts=6, slice_rows=100, learn=True, **more)  # type: ignore[arg-type]


def run(rows: int, workers: int, **simulate: object) -> VirtualWorkers:
    settings = SimulateConfig(latency=LATENCY, **simulate)  # type: ignore[arg-type]  # its own settings
    return VirtualWorkers(plan=plan(rows), simulate=settings, count=workers).run()


class NoSuchModel(VirtualWorkers):
    """A provider that does not know the model of some rows, and takes as long to say so as for any other answer."""

    rows: frozenset[str] = frozenset()
    begins = 0.0
    refused = 0

    async def answer(self, job: Job) -> Answer | Fault:
        if job.custom_id not in self.rows or trio.current_time() - self.started < self.begins:
            return await super().answer(job)
        now = trio.current_time()
        await trio.sleep(LATENCY.median_seconds)
        self.refused += 1
        return Answer(404, [], b'{"error": {"code": "model_not_found", "message": "no such model"}}', sent_at=now)


def ids(first: int, end: int) -> frozenset[str]:
    return frozenset(f"id-{at}" for at in range(first, end))


def with_no_such_model(workers: int, rows: frozenset[str], *, begins: float, shard_rows: int | None = None) -> NoSuchModel:
    plan = Plan(rows=(RowPlan(),) * 400, window=400, workers=SLOTS, attempts=6, slice_rows=100)
    run = NoSuchModel(plan=plan, simulate=SimulateConfig(latency=LATENCY), count=workers, shard_rows=shard_rows)
    run.rows, run.begins = rows, begins
    run.run()
    return run


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


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_key_that_is_refused_costs_little_more_than_what_was_in_flight(workers: int) -> None:
    stopped = run(400, workers, outages=(SimulatedOutage(fault="wrong_key", at_seconds=DOWN_AT),))

    assert any("401" in (reason or "") for reason in stopped.stopped)  # one has met it, and stops the others
    assert all("401" in (reason or "") or reason == "interrupted" for reason in stopped.stopped)
    assert all(isinstance(outcome, Success) for outcome in stopped.written)
    assert answers(stopped, 401) < 3 * SLOTS - 3  # 8 workers with 3 rows each would be 24; which are in flight is chance


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_a_key_that_never_worked_is_counted_over_all_workers(workers: int) -> None:
    stopped = run(400, workers, outages=(SimulatedOutage(fault="wrong_key", at_seconds=0.0),))

    assert stopped.written == []
    assert answers(stopped, 401) <= max(IN_A_ROW, workers + 1)


def test_a_refused_key_is_counted_over_shards_that_are_shorter_than_it_takes() -> None:
    outage = SimulatedOutage(fault="wrong_key", at_seconds=DOWN_AT)
    simulate = SimulateConfig(latency=LATENCY, outages=(outage,))

    stopped = VirtualWorkers(plan=plan(400), simulate=simulate, count=1, shard_rows=1).run()

    assert "refused 3 rows in a row" in (stopped.stopped[0] or "")
    assert sum(isinstance(outcome, Failure) for outcome in stopped.written) < IN_A_ROW


def test_a_row_whose_own_key_is_refused_fails_alone_whatever_worker_has_it() -> None:
    """One in ten rows is refused, everywhere at once: it is written as failed, and the run goes on."""

    class Forbidden(VirtualWorkers):
        async def answer(self, job: Job) -> Answer | Fault:
            if job.index % 10 != 7:
                return await super().answer(job)
            now = trio.current_time()
            await trio.sleep(LATENCY.median_seconds)
            return Answer(403, [], b'{"error": {"message": "not for you"}}', sent_at=now)

    done = Forbidden(plan=plan(400), simulate=SimulateConfig(latency=LATENCY), count=4).run()
    alone = Forbidden(plan=plan(400), simulate=SimulateConfig(latency=LATENCY), count=1).run()

    assert done.stopped == [None] * 4
    assert sum(isinstance(outcome, Failure) for outcome in done.written) == 40
    assert done.ended - done.started <= 1.3 * (alone.ended - alone.started)


def test_a_worker_that_comes_in_an_outage_waits_as_long_as_those_for_whom_the_provider_has_worked() -> None:
    """A provider that never worked is waited for a fifth of `patience_seconds`, one that has worked for anybody for all of it."""
    outage = SimulatedOutage(fault="http_503", at_seconds=DOWN_AT, seconds=DOWN_SECONDS)
    simulate = SimulateConfig(latency=LATENCY, outages=(outage,))

    done = VirtualWorkers(
        plan=plan(400, patience_seconds=2 * DOWN_SECONDS), simulate=simulate, count=2, shard_rows=100, late_seconds=DOWN_AT + 5
    ).run()

    assert done.stopped == [None, None]
    assert all(isinstance(outcome, Success) for outcome in done.written)
    assert len(done.written) == 400


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_rows_that_all_get_the_same_answer_are_added_up_over_all_workers(workers: int) -> None:
    stopped = with_no_such_model(workers, ids(0, 400), begins=DOWN_AT)

    assert any("404" in (reason or "") for reason in stopped.stopped)
    assert all(isinstance(outcome, Success) for outcome in stopped.written)
    assert stopped.refused <= STOP_AFTER + SLOTS + SLOTS * (PARK_SECONDS + LOOK_SECONDS) / LATENCY.median_seconds


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_that_all_get_the_same_answer_are_counted_over_shards_with_fewer_rows_than_it_takes(workers: int) -> None:
    stopped = with_no_such_model(workers, ids(0, 400), begins=DOWN_AT, shard_rows=5)

    assert any("404" in (reason or "") for reason in stopped.stopped)
    assert sum(isinstance(outcome, Failure) for outcome in stopped.written) <= STOP_AFTER  # rows of shards that had ended by then
    assert stopped.refused <= 2 * STOP_AFTER


def test_rows_that_all_get_the_same_answer_are_their_own_fault_if_another_worker_succeeds() -> None:
    done = with_no_such_model(2, ids(220, 280), begins=0.0)

    assert done.stopped == [None, None]
    assert {outcome.custom_id for outcome in done.written if isinstance(outcome, Failure)} == ids(220, 280)
    assert len(done.written) == 400


def test_what_a_provider_announces_is_for_all_workers_together() -> None:
    limits = SimulatedLimits(requests_per_minute=300, dialect=Dialect.OPENAI, retry_after=RetryAfter.HEADER)

    done = run(300, 2, limits=limits)

    assert answers(done, 429) == 0
    assert done.ended - done.started <= 66  # a minute, and its start

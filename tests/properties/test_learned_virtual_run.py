"""The learned pace in a whole run on virtual time: real stages, against the embedded provider, with health, retries and the heap."""

from __future__ import annotations

import heapq
import json
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define, field

from pipeline.records import Answer, Success
from pipeline.simulate import Dialect, Distribution, LatencyConfig, RetryAfter, SimulateConfig, SimulatedLimits
from tests.fakes.simulated_run import SimulatedRun
from tests.fakes.virtual_run import Plan, RowPlan, VirtualRun

if TYPE_CHECKING:
    from pipeline.records import Job

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
    assert ratios[4] <= 1.1
    assert ratios[-1] <= 1.7


@define
class CappedRun(VirtualRun):
    """The server refuses at once what exceeds `cap` requests at a time, without a word about limits, as nginx's limit_conn does."""

    cap: int = 20
    latency: float = 0.5
    status: int = 503
    network: float = 0.005
    let_in: list[float] = field(factory=list)
    busy: int = 0
    refused: int = 0
    _random: Random = field(factory=lambda: Random(3))

    async def answer(self, job: Job) -> Answer:
        await trio.sleep(self.network * (1 + self._random.random()))
        if self.busy >= self.cap:
            self.refused += 1
            await trio.sleep(self.network * (1 + self._random.random()))
            return Answer(self.status, [], b"<html>busy</html>")
        self.busy += 1
        self.let_in.append(trio.current_time() - self.started)
        await trio.sleep(self.latency * self._random.lognormvariate(0.0, SPREAD))
        self.busy -= 1
        await trio.sleep(self.network * (1 + self._random.random()))
        return Answer(200, [], json.dumps({"answer": job.index}).encode())

    def attained(self, start: float) -> float:
        """What was let in from `start` on until the rows run out, over what the cap allows."""
        end = self.let_in[-1] - 2.0
        return sum(start <= at < end for at in self.let_in) / (end - start) / (self.cap / (self.latency * 1.133))


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("latency, cap", [(0.05, 8), (0.5, 8), (0.5, 40), (2.0, 20)])
def test_cap_on_requests_at_once_is_found_and_named(latency: float, cap: int, status: int) -> None:
    """It was taken for a rate: 0.58 to 0.9 of it was used where answers take half a second or less."""
    seconds = 40.0
    rows = int(seconds * cap / latency / 1.133)
    plan = Plan(rows=(RowPlan(),) * rows, window=1000, workers=100, attempts=6, slice_rows=200, learn=True, in_order=False)

    run = CappedRun(plan=plan, cap=cap, latency=latency, status=status, network=latency / 50).run()

    assert all(isinstance(outcome, Success) for outcome in run.written)
    assert run.attained(0.6 * seconds) >= 0.75
    assert run.refused <= 0.04 * rows + 50
    learned = run.tallies.gate.lanes[0].limits.learned
    assert learned is not None
    assert learned.kind == "in_flight"
    assert learned.in_flight is not None
    assert abs(learned.in_flight - cap) <= 1 + 0.15 * cap

"""Several lanes on virtual time: real stages, and for each lane a server with a latency, a capacity and outages."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import define, field, frozen

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.account import Account
from pipeline.core.pacing.budget import Budget, BudgetLimits
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.rows.lines import RawRow
from pipeline.messages import Spending
from pipeline.records import Answer, Failure, FailureKind, Fault, FaultCause, Job
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.pass_through import PassThrough

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.records import Outcome

FOREVER = 5e3
FAR = 1 << 40
NO_BUDGET = BudgetLimits()
Death = str | int | FaultCause | tuple[int, int]


@frozen
class LanePlan:
    """A lane and its server. dies: from when to when, and what an attempt meets meanwhile: a fault, a status, a status and
    the seconds of its Retry-After, "hole", or "page" for a page under a success status.
    """

    rate: float
    latency: float
    workers: int = 100
    weight: float = 1.0
    priority: int = 0
    dies: tuple[float, float, Death] | None = None
    budget: BudgetLimits = NO_BUDGET
    tokens_per_minute: float | None = None
    flaky: float = 0.0  # share of the attempts that get a 500


@define
class LaneRun:
    """Sends rows over lanes for a while, and keeps the book."""

    lanes: Sequence[LanePlan]
    rows: int
    poison: int = 0  # every so many rows always get a 500
    poison_from: int = FAR  # from this row on all of them always get `poison_status`
    poison_status: int = 500
    idle_seconds: float = 60.0
    patience_seconds: float = 600.0
    fallback_after_seconds: float = 0.0
    in_flight: int | None = None
    budget: BudgetLimits = NO_BUDGET
    tokens: tuple[int, int] = (1, 0)  # of a row and of its longest answer
    large: dict[int, int] = field(factory=dict)  # rows that need other tokens
    billed: list[Spending] = field(factory=list)  # by each lane's server
    stop_at: float | None = None
    sent: list[tuple[float, int, int]] = field(factory=list)  # when, lane, row
    answered: list[tuple[float, int, int]] = field(factory=list)
    written: list[Outcome] = field(factory=list)
    started: float = 0.0
    ended: float = 0.0
    tallies: Tallies = field(factory=Tallies)
    states: list[LaneState] = field(factory=list)
    held: list[tuple[float, int, bool]] = field(factory=list)  # when a lane was held (True) or came back
    _read: int = 0
    _random: random.Random = field(factory=lambda: random.Random(7))

    def run(self) -> LaneRun:
        trio.run(self._main, clock=trio.testing.MockClock(autojump_threshold=0))
        return self

    def rate_of(self, lanes: Sequence[int], begin: float, end: float) -> float:
        """Answers a second of some lanes, between two times of the run."""
        return sum(lane in lanes and begin <= at < end for at, lane, _ in self.answered) / (end - begin)

    def failed(self) -> list[Failure]:
        return [outcome for outcome in self.written if isinstance(outcome, Failure)]

    async def _main(self) -> None:
        policy = RetryPolicy(6, 0.5, 60.0, self.patience_seconds)
        whole = Budget(self.budget, started=trio.current_time())
        self.billed = [Spending() for _ in self.lanes]
        self.states = [
            LaneState(
                Lane.from_limits(requests_per_second=plan.rate, tokens_per_minute=plan.tokens_per_minute),
                plan.workers,
                index=index,
                name=f"lane-{index}",
                weight=plan.weight,
                priority=plan.priority,
                allowed=plan.rate,
                policy=policy,
                account=self._account(whole, plan, index),
            )
            for index, plan in enumerate(self.lanes)
        ]
        lanes = Lanes(self.states, most_in_flight=self.in_flight, fallback_after_seconds=self.fallback_after_seconds)
        settings = FlowSettings(
            take_rows=self._take_rows,
            make_jobs=self._make_jobs,
            lanes=lanes,
            fetch=FetchSettings(
                tuple(lambda lane=lane: _Sender(self, lane) for lane in range(len(self.lanes))),  # type: ignore[misc]  # a default binds it
                policy,
                draw=self._random.random,
                utc=lambda: 0.0,
                name_attempt=lambda index, attempt: f"{index}-{attempt}",
            ),
            store=PassThrough(self._emit),
            window=2000,
            in_order=False,
        )
        self.started = trio.current_time()
        stop = trio.Event()
        with trio.fail_after(FOREVER):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, stop)
                await run_flow(settings, self.tallies, stop)
                nursery.cancel_scope.cancel()
        self.ended = self._now()

    def _account(self, whole: Budget, plan: LanePlan, index: int) -> Account | None:
        if self.budget.unlimited and all(each.budget.unlimited for each in self.lanes):
            return None
        return Account(whole, Budget(plan.budget, started=trio.current_time()), setting=f"providers[{index}]")

    def _now(self) -> float:
        return trio.current_time() - self.started

    async def _watch(self, stop: trio.Event) -> None:
        before = [False] * len(self.states)
        while True:
            await trio.sleep(0.05)
            if self.stop_at is not None and self._now() >= self.stop_at:
                stop.set()
            for lane, state in enumerate(self.states):
                held = state.held_since is not None
                if held != before[lane]:
                    self.held.append((self._now(), lane, held))
                    before[lane] = held

    async def _take_rows(self, most: int) -> list[RawRow]:
        await trio.lowlevel.checkpoint()
        first, self._read = self._read, min(self.rows, self._read + most)
        return [RawRow(line=n + 1, offset=n, data=b"") for n in range(first, self._read)]

    def _make_jobs(self, rows: list[RawRow], first: int) -> Sequence[Job | Failure]:
        tokens, output = self.tokens
        return [
            Job(index, f"id-{index}", "POST", "/v1/x", b"{}", self.large.get(index, tokens), index + 1, output)
            for index in range(first, first + len(rows))
        ]

    async def _emit(self, outcomes: list[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.written.extend(outcomes)

    async def answer(self, lane: int, job: Job) -> Answer | Fault:
        plan, now = self.lanes[lane], self._now()
        self.sent.append((now, lane, job.index))
        self.billed[lane] += Spending(requests=1)
        if plan.dies is not None and plan.dies[0] <= now < plan.dies[1]:
            return await self._dead(plan.dies[2])
        latency = min(10 * plan.latency, max(0.3 * plan.latency, plan.latency * self._random.lognormvariate(0.0, 0.6)))
        if self.poison and job.index % self.poison == self.poison // 2:
            await trio.sleep(min(latency, 1.0))
            return _error(500)
        if job.index >= self.poison_from:
            await trio.sleep(min(latency, 1.0))
            return _error(self.poison_status)
        await trio.sleep(latency)
        if plan.flaky and self._random.random() < plan.flaky:
            return _error(500)
        self.answered.append((self._now(), lane, job.index))
        body: dict[str, object] = {"answer": job.index}
        if job.output_tokens:
            prompt, output = self._random.randint(0, job.tokens - job.output_tokens), self._random.randint(0, job.output_tokens)
            body["usage"] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
            self.billed[lane] += Spending(tokens=prompt + output)
        return Answer(200, [], json.dumps(body).encode(), sent_at=trio.current_time() - latency)

    async def _dead(self, kind: Death) -> Answer | Fault:
        if kind == "hole":
            await trio.sleep(self.idle_seconds)
            return Fault(FailureKind.TIMEOUT, "not a byte", maybe_sent=True, cause=FaultCause.IDLE_TIMEOUT)
        if kind == "page":
            await trio.sleep(0.1)
            return Answer(200, [(b"content-type", b"text/html")], b"<html>Please log in</html>")
        if isinstance(kind, FaultCause):
            await trio.sleep(0.01)
            return Fault(FailureKind.CONNECTION, "cannot connect", maybe_sent=False, cause=kind)
        await trio.sleep(0.1)
        status, wait = kind if isinstance(kind, tuple) else (int(kind), None)
        return _error(status, wait)


@define
class _Sender:
    run: LaneRun
    lane: int

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        assert client_request_id
        return await self.run.answer(self.lane, job)

    def release(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        """Nothing to close."""


def _error(status: int, wait: int | None = None) -> Answer:
    return Answer(status, [] if wait is None else [(b"retry-after", b"%d" % wait)], b'{"error": {"message": "no"}}')

"""A whole run on virtual time: real stages, a provider and an input that follow a plan, and a book of all that happened."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import define, field, frozen

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.rows.lines import RawRow
from pipeline.records import Answer, Failure, FailureKind, Fault, FaultCause, Job
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.pass_through import PassThrough
from tests.fakes.elsewhere import Elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from pipeline.core.pacing.account import Account
    from pipeline.ports import Observer
    from pipeline.records import Outcome

FOREVER = 1e5  # virtual seconds: a run that is not done by then hangs
MAYBE_SENT = frozenset({FaultCause.IDLE_TIMEOUT, FaultCause.TOTAL_TIMEOUT, FaultCause.CLOSED, FaultCause.PROTOCOL, FaultCause.TOO_LARGE})


@frozen
class Try:
    """What the provider does with one attempt.

    kind: "ok", "broken", an HTTP status, or what goes wrong on the way. after: latency in seconds. code, message: of the error.
    """

    kind: str | int | FaultCause = "ok"
    after: float = 0.01
    headers: tuple[tuple[bytes, bytes], ...] = ()
    code: str = "some_code"
    message: str = "no"


@frozen
class Outage:
    """From `begins` until `ends`, in seconds of the run, every attempt that leaves meets the same."""

    begins: float
    ends: float
    turn: Try


@frozen
class RowPlan:
    """A row: bad from the start, or its attempts in turn; behind the last it always succeeds."""

    bad: bool = False
    tries: tuple[Try, ...] = ()
    tokens: int = 1


@frozen
class Plan:
    """All that a run depends on."""

    rows: tuple[RowPlan, ...]
    window: int = 8
    workers: int = 4
    attempts: int = 3
    in_order: bool = True
    requests_per_second: float | None = None
    tokens_per_minute: float | None = None
    learn: bool = False
    slice_rows: int = 3
    write_seconds: float = 0.0
    stop_at: float | None = None
    cancel_at: float | None = None
    limit: int | None = None
    provider_limit: int | None = None  # requests a second above which the provider answers 429
    outages: tuple[Outage, ...] = ()
    patience_seconds: float = 600.0
    stop_after: int | None = 20
    light: bool = False  # the senders need no task for an attempt


@define
class VirtualRun:
    """Runs a plan and keeps the book; checks at every event what must hold at every instant."""

    plan: Plan
    utc: Callable[[], float] = lambda: 0.0
    observers: Sequence[Observer] = ()
    account: Account | None = None
    sent: list[tuple[float, int, int]] = field(factory=list)  # when, row, tokens
    written: list[Outcome] = field(factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    read: int = 0
    opened: int = 0
    closed: int = 0
    started: float = 0.0
    ended: float = 0.0
    stopped_at: float | None = None
    tallies: Tallies = field(factory=Tallies)
    nursery: trio.Nursery | None = None
    _tries: dict[int, int] = field(factory=dict)
    _accepted: list[float] = field(factory=list)

    def run(self) -> Self:
        trio.run(self._main, clock=trio.testing.MockClock(autojump_threshold=0))
        return self

    async def _main(self) -> None:
        plan = self.plan
        stop = trio.Event()
        policy = RetryPolicy(plan.attempts, 0.5, 4.0, plan.patience_seconds, plan.stop_after)
        limits = Lane.from_limits(
            requests_per_second=plan.requests_per_second,
            tokens_per_minute=plan.tokens_per_minute,
            max_in_flight=plan.workers,
            learn=plan.learn,
        )
        settings = FlowSettings(
            take_rows=self._take_rows,
            make_jobs=self._make_jobs,
            lanes=Lanes([LaneState(limits, plan.workers, policy=policy, account=self.account)]),
            fetch=FetchSettings(
                (self._open_sender,),
                policy,
                draw=lambda: 0.5,
                utc=self.utc,
                name_attempt=lambda index, attempt: f"{index}-{attempt}",
            ),
            store=PassThrough(self.emit),
            window=plan.window,
            in_order=plan.in_order,
            limit=plan.limit,
            observers=self.observers,
        )
        self.started = trio.current_time()
        with trio.fail_after(FOREVER):
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                if plan.stop_at is not None:
                    nursery.start_soon(self._stop_later, stop, plan.stop_at)
                with trio.CancelScope() as scope:
                    if plan.cancel_at is not None:
                        scope.deadline = trio.current_time() + plan.cancel_at
                    await run_flow(settings, self.tallies, stop)
                nursery.cancel_scope.cancel()
        self.ended = trio.current_time()

    async def _stop_later(self, stop: trio.Event, after: float) -> None:
        await trio.sleep(after)
        self.stopped_at = trio.current_time()
        stop.set()

    # ---- input -----------------------------------------------------------------------------------------------

    async def _take_rows(self, most: int) -> list[RawRow]:
        await trio.lowlevel.checkpoint()
        rows = [RawRow(line=n + 1, offset=n, data=b"") for n in range(self.read, len(self.plan.rows))]
        taken = rows[: min(most, self.plan.slice_rows)]
        self.read += len(taken)
        return taken

    def _make_jobs(self, rows: list[RawRow], first: int) -> Sequence[Job | Failure]:
        made: list[Job | Failure] = []
        for index in range(first, first + len(rows)):
            plan = self.plan.rows[index]
            if plan.bad:
                made.append(Failure(index, f"id-{index}", FailureKind.INVALID_ROW, "bad"))
            else:
                made.append(Job(index, f"id-{index}", "POST", "/v1/x", b"{}", plan.tokens, index + 1))
        held = first + len(rows) - len(self.written)
        assert held <= self.plan.window, f"{held} rows in memory, more than the window of {self.plan.window}"
        return made

    # ---- provider --------------------------------------------------------------------------------------------

    def _open_sender(self) -> _FakeSender:
        self.opened += 1
        assert self.opened - self.closed <= self.plan.workers, "more senders than workers"
        return _LightFakeSender(self) if self.plan.light else _FakeSender(self)

    async def answer(self, job: Job) -> Answer | Fault:
        assert self.stopped_at is None or trio.current_time() == self.stopped_at, "an attempt left after the stop"
        self.sent.append((trio.current_time(), job.index, job.tokens))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        attempt = self._tries[job.index] = self._tries.get(job.index, 0) + 1
        turn = self._turn(job, attempt)
        try:
            await trio.sleep(turn.after)
        finally:
            self.in_flight -= 1
        return _reply(Try(429), job) if self._over_limit() else _reply(turn, job)

    def _turn(self, job: Job, attempt: int) -> Try:
        now = trio.current_time() - self.started
        for outage in self.plan.outages:
            if outage.begins <= now < outage.ends:
                return outage.turn
        tries = self.plan.rows[job.index].tries
        return tries[attempt - 1] if attempt <= len(tries) else Try()

    def _over_limit(self) -> bool:
        """Whether the provider has answered as many as it does in a second."""
        if self.plan.provider_limit is None:
            return False
        now = trio.current_time()
        self._accepted = [at for at in self._accepted if at > now - 1.0]
        if len(self._accepted) >= self.plan.provider_limit:
            return True
        self._accepted.append(now)
        return False

    # ---- output ----------------------------------------------------------------------------------------------

    async def emit(self, outcomes: list[Outcome]) -> None:
        await trio.sleep(self.plan.write_seconds)
        self.written.extend(outcomes)
        indexes = [outcome.index for outcome in self.written]
        assert len(set(indexes)) == len(indexes), "a row was written twice"
        if self.plan.in_order:
            assert indexes == list(range(len(indexes))), "the output is no prefix of the input's order"


@define
class _FakeSender:
    run: VirtualRun
    busy: bool = False

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        assert client_request_id
        assert not self.busy, "two attempts on one connection"
        self.busy = True
        try:
            return await self.run.answer(job)
        finally:
            self.busy = False

    def release(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        self.run.closed += 1


@define
class _LightFakeSender(_FakeSender):
    """Waits for its answers as a light task; somebody else's task has them."""

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        assert self.run.nursery is not None
        reply: Answer | Fault = await Elsewhere(self.run.nursery, partial(self.send, job, client_request_id))
        return reply


def _reply(turn: Try, job: Job) -> Answer | Fault:
    if isinstance(turn.kind, FaultCause):
        cause = turn.kind
        timeout = cause in (FaultCause.CONNECT_TIMEOUT, FaultCause.IDLE_TIMEOUT, FaultCause.TOTAL_TIMEOUT)
        kind = FailureKind.TIMEOUT if timeout else FailureKind.CONNECTION
        return Fault(kind, f"{cause.value} by the plan", cause in MAYBE_SENT, cause, permanent=cause is FaultCause.TLS)
    if turn.kind == "broken":
        return Answer(200, [], b'{"id": "cut sho')
    if turn.kind == "ok":
        # as estimated, so that what is learned of estimates changes no plan
        body = json.dumps({"answer": job.index, "usage": {"prompt_tokens": job.tokens, "completion_tokens": 2, "total_tokens": job.tokens}})
        return Answer(200, [(b"x-request-id", b"req-%d" % job.index)], body.encode(), sent_at=trio.current_time() - turn.after)
    assert isinstance(turn.kind, int)
    return Answer(turn.kind, list(turn.headers), json.dumps({"error": {"code": turn.code, "message": turn.message}}).encode())

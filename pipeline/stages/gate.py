"""The only place that lets an attempt leave: one actor, one inbox, no shared state.

It owns the limits, the retry heap, the pause and the count of free workers. A retry is an attempt like any other and
passes here too, before new jobs, so that a storm of failures cannot run above the rate.
"""

from __future__ import annotations

import heapq
from collections import deque
from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from pipeline.core.pacing.lane import TICK_SECONDS, Bound, Wait
from pipeline.core.pacing.refusals import Refusals, Stop
from pipeline.messages import Notice, Report, Ticket, Verdict
from pipeline.records import Failure, FailureKind
from pipeline.stages.groups import take, take_nowait

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.pacing.lane import Lane
    from pipeline.records import Job, Outcome


INTERRUPTED = "interrupted"
SHARED_SHARE = 0.1  # of the attempts that ended meanwhile: a limit throttles more of them than that, a whim of a relay fewer
_LIMITS = frozenset(bound.value for bound in Bound)


@define(eq=False)
class GateTally:
    """What the gate counts. stopped: why it let nothing more leave, or None. bound_seconds: time held back, by bound."""

    attempts: int = 0
    retries: int = 0
    throttled: int = 0
    unknown_outcome: int = 0
    in_flight: int = 0
    waiting: int = 0
    bound: str = ""
    bound_seconds: dict[str, float] = field(factory=dict)
    stopped: str | None = None


async def gate(
    inbox: MemoryReceiveChannel[list[Job] | Report | Notice],
    tickets: MemorySendChannel[list[Ticket]],
    outcomes: MemorySendChannel[Outcome],
    *,
    lane: Lane,
    workers: int,
    tally: GateTally,
    stop: trio.Event,
) -> None:
    """Release tickets as the limits, the pause and the free workers allow, until every job has ended.

    tickets: must have room for a group per worker; outcomes: for a message per credit. stop: wakes a gate that sleeps
    until its next tick; whoever sets it also sends Notice.STOP. After a stop what is in flight may finish, and the rows
    that wait here are dropped without an outcome.
    """
    with inbox, tickets, outcomes:
        await _Gate(inbox, tickets, outcomes, lane, workers, tally, stop).run()


@define(eq=False)
class _Gate:
    inbox: MemoryReceiveChannel[list[Job] | Report | Notice]
    tickets: MemorySendChannel[list[Ticket]]
    outcomes: MemorySendChannel[Outcome]
    lane: Lane
    workers: int
    tally: GateTally
    stop: trio.Event
    jobs: deque[Job] = field(factory=deque)
    retries: list[tuple[float, int, Ticket]] = field(factory=list)  # heap by due time; the number breaks ties
    pushed: int = 0
    in_flight: int = 0
    answered: int = 0  # results seen, and attempts that were throttled
    throttled: int = 0
    ended: bool = False
    refusals: Refusals = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.refusals = Refusals(patience=self.workers)

    async def run(self) -> None:
        while True:
            now = trio.current_time()
            due, bound = self._release(now)
            if self._idle():
                self._settle_idle()
                if self._finished():
                    return
                if not self._idle():
                    continue
            await self._wait(now, due, bound)

    def _idle(self) -> bool:
        return not (self.in_flight or self.jobs or self.retries)

    def _finished(self) -> bool:
        return self._idle() and (self.ended or self.tally.stopped is not None)

    # ---- release -------------------------------------------------------------------------------------------------

    def _release(self, now: float) -> tuple[float, str]:
        """Let go all that may leave now; return when to look again at the latest, and what holds the rest back."""
        group: list[Ticket] = []
        due, bound = self._fill(group, now)
        if group:
            self.in_flight += len(group)
            self.tally.attempts += len(group)
            self.tickets.send_nowait(group)
        self.tally.in_flight = self.in_flight
        self.tally.waiting = len(self.retries)
        return due, bound

    def _fill(self, group: list[Ticket], now: float) -> tuple[float, str]:
        slots = (1 if self.refusals.probing else self.workers) - self.in_flight
        while True:
            ticket = self._next_ticket(now)
            if ticket is None:
                return (self.retries[0][0], "retry") if self.retries else (inf, "input")
            if len(group) >= slots:
                self._put_back(ticket)
                return inf, "in_flight"
            admission = self.lane.admit(now, ticket.job.tokens)
            if isinstance(admission, Wait):
                self._put_back(ticket)
                return admission.wake, admission.bound.value
            ticket.grant = admission
            ticket.number = self.tally.attempts + len(group)
            if ticket.attempt == 1:
                ticket.seen = (self.answered, self.throttled)
            if ticket.attempt > 1:
                self.tally.retries += 1
            group.append(ticket)

    def _next_ticket(self, now: float) -> Ticket | None:
        if self.retries and self.retries[0][0] <= now:
            return heapq.heappop(self.retries)[2]
        while self.jobs:
            job = self.jobs.popleft()
            reason = self.lane.refuses(job.tokens)
            if reason is None:
                return Ticket(job, 1, None)
            self.outcomes.send_nowait(Failure(job.index, job.custom_id, FailureKind.TOO_LARGE, reason))
        return None

    def _put_back(self, ticket: Ticket) -> None:
        if ticket.attempt == 1:
            self.jobs.appendleft(ticket.job)
        else:
            self._retry(ticket, -inf)

    def _retry(self, ticket: Ticket, due: float) -> None:
        self.pushed += 1
        heapq.heappush(self.retries, (due, self.pushed, ticket))

    # ---- wait ----------------------------------------------------------------------------------------------------

    async def _wait(self, now: float, due: float, bound: str) -> None:
        self.tally.bound = bound
        if bound in _LIMITS and due - now <= 2 * TICK_SECONDS:
            # A limit binds: sleep through the reports to the next tick, so that the cost of an attempt does not
            # depend on the rate (a wake per ticket costs 300 µs a row at 3,000/s, a tick 80).
            with trio.move_on_at(due):
                await self.stop.wait()
            messages = take_nowait(self.inbox)
        elif due == inf:
            messages = await take(self.inbox)
        else:
            messages = []
            with trio.move_on_at(due):
                messages = await take(self.inbox)
        later = trio.current_time()
        self.tally.bound_seconds[bound] = self.tally.bound_seconds.get(bound, 0.0) + later - now
        for message in messages:
            if isinstance(message, Report):
                self._settle(message, later)
            elif isinstance(message, Notice):
                self._note(message)
            elif self.tally.stopped is None:
                self.jobs.extend(message)

    def _note(self, notice: Notice) -> None:
        if notice is Notice.END_OF_INPUT:
            self.ended = True
        else:
            self._stop(INTERRUPTED)

    def _stop(self, reason: str) -> None:
        if self.tally.stopped is None:
            self.tally.stopped = reason
        self.jobs.clear()
        self.retries.clear()

    # ---- reports -------------------------------------------------------------------------------------------------

    def _settle(self, report: Report, now: float) -> None:
        self.in_flight -= 1
        self.tally.throttled += report.throttled
        self.tally.unknown_outcome += report.maybe_sent
        if report.ticket.grant is not None:
            self.lane.settle(report.ticket.grant, now, report.tokens, report.sent_at)
        if report.pause_until is not None:
            self.lane.pause(report.pause_until)
        if report.answered:
            self.answered += 1
            for held in self.refusals.succeeded(report.ticket.number):
                self._own_fault(held, now)
        if report.verdict is Verdict.RETRY:
            self._reconsider(report)
        elif report.verdict is Verdict.REFUSED:
            self._heed(self.refusals.refused(report))
        elif report.verdict is Verdict.EXHAUSTED and report.failure is not None:
            self._stop(report.failure.message)

    def _reconsider(self, report: Report) -> None:
        """Try again, unless this attempt was the last that the row had and is held against it.

        It is not where the provider has worked, and is out of reach for now or throttles others too: then no row must be
        lost for its place in the queue.
        """
        ticket = report.ticket
        answered, throttled = self.answered - ticket.seen[0], self.throttled - ticket.seen[1]
        limited = report.rate_limited and throttled > SHARED_SHARE * (answered + throttled)
        shared = self.answered > 0 and (limited or report.unreachable)
        self.throttled += report.rate_limited
        if not shared and report.failure is not None:
            self.outcomes.send_nowait(report.failure)
        elif self.tally.stopped is None:
            again = self._again(report)
            again.strikes += not shared
            self._retry(again, report.retry_at)

    def _heed(self, verdict: Stop | None) -> None:
        if verdict is not None:
            self._stop(verdict.reason)

    def _again(self, report: Report) -> Ticket:
        ticket, seen = report.ticket, (self.answered, self.throttled)
        attempt = ticket.attempt + 1
        return Ticket(ticket.job, attempt, None, ticket.strikes, ticket.refusals, seen, rejected=report.rejected, wasted=report.wasted)

    def _own_fault(self, report: Report, now: float) -> None:
        """A refusal that turned out to be the row's: a first 401 is tried once more, anything else is its last word."""
        ticket, failure = report.ticket, report.failure
        if failure is None or self.tally.stopped is not None:
            return
        if failure.status_code == 401 and not ticket.refusals:
            again = self._again(report)
            again.strikes += 1
            again.refusals = 1
            self._retry(again, now)
        else:
            self.outcomes.send_nowait(failure)

    def _settle_idle(self) -> None:
        """Nothing is on its way: whoever was refused cannot be judged by the others any more."""
        verdict = self.refusals.idle()
        if isinstance(verdict, Stop):
            self._stop(verdict.reason)
        else:
            for held in verdict:
                self._own_fault(held, trio.current_time())

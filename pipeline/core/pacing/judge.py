"""Decides what becomes of a row whose attempt failed: tried again, written as failed, or held until it is known.

Law: a row fails only for its own fault. What other rows meet too is judged for the lane (`health`, `refusals`, `standing`), uses
up no row's attempts and is written as no row's result. Pure: `now` is an argument; decisions are left in `write`, `again` and
`stop`, which the gate takes.

How a failure is judged depends on whom it seems to concern:

- KEY, QUOTA, SETUP, and failures that another attempt would not change: held in `refusals` until it is the lane's or the row's own.
- SERVER: the row is tried again. Each such attempt may count against it; whether it does is looked up when the row has had
  its attempts, in the lane's outages. No lane is held for rows that fail wherever they go.
- THROTTLE, PARALLEL: tried again. It counts against the row only if others passed meanwhile, and only if so many refusals
  cannot be explained by how many of the others are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.pacing import reasons
from pipeline.core.pacing.health import State
from pipeline.core.pacing.learner import limits_told
from pipeline.core.pacing.refusals import Stop
from pipeline.core.pacing.standing import Standing
from pipeline.core.pacing.unsure import NO_SERVER, Unsure
from pipeline.events import Paused
from pipeline.messages import FailedAttempt
from pipeline.records import FaultCause, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.answers.retry import RetryPolicy
    from pipeline.core.pacing.event_log import EventLog
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.messages import Report, Ticket
    from pipeline.records import Failure

UNAUTHORIZED = 401
BUSY = frozenset({503, 529})  # not the row's doing: like a 429's its Retry-After holds for everybody


class Judge:
    """What reports mean for rows and lanes.

    write: failures that are their rows' own. again: tickets to be made again, and when.
    log: takes what observers are to be told; None where nobody observes.
    """

    def __init__(self, lanes: Lanes, policy: RetryPolicy, *, log: EventLog | None = None) -> None:
        self.lanes = lanes
        self.policy = policy
        self.write: list[Failure] = []
        self.again: list[tuple[float, Ticket]] = []
        self.log = log
        self._standing = Standing(lanes, log)
        self._waiting = reasons.Waiting()
        self._unsure = Unsure(lanes.states, policy.patience_seconds)

    @property
    def stop(self) -> str | None:
        """Why the run must stop, or None."""
        return self._standing.stop

    def succeeded(self, report: Report, now: float) -> None:
        """Take note of a result."""
        ticket = report.ticket
        state = self.lanes.states[ticket.lane]
        state.succeeded += 1
        self._settle(state, report, now)
        if ticket.grant is not None and state.limits.answered(ticket.grant, now):
            state.limits.news(ticket.grant, now, limits_told(report))
        state.health.succeeded(ticket.number, now, first=not ticket.failed)
        if state.held_since is not None:
            self._standing.is_back(state, now)
        if state.refusals.open:
            state.refused = None
            for held in state.refusals.succeeded(ticket.number):
                self._own(held, now)
        if self._unsure.held:
            self._write(self._unsure.known())
        if report.stop is not None:
            self._standing.stop = self.stop or report.stop
        elif report.ask_again is not None:
            from pipeline.core.pacing.again import another_request  # noqa: PLC0415  few runs ask for another answer

            self.again.append((now, another_request(report, report.ask_again)))
        if self.log is not None:
            self.log.succeeded(report)

    def answered_together(self, reports: Sequence[Report], now: float) -> None:
        """The same of several plain answers, in order of arrival. Those of a lane that is well are counted together."""
        for state in self.lanes.states:
            mine = reports if self.lanes.alone is not None else [each for each in reports if each.ticket.lane == state.index]
            if mine and (self._unsure.held or not state.is_calm):
                for report in mine:
                    self.succeeded(report, now)
            elif mine:
                self._answered_calmly(state, mine, now)

    def _answered_calmly(self, state: LaneState, reports: Sequence[Report], now: float) -> None:
        state.succeeded += len(reports)
        limits, last = state.limits, reports[-1]
        if limits.corrects:
            for report in reports:
                self._settle(state, report, now)
        if limits.answered_together(len(reports), now) and last.ticket.grant is not None:
            limits.news(last.ticket.grant, now, limits_told(last))
        state.health.answered_together(reports, now)
        if self.log is not None:
            self.log.answered_together(reports)

    def _settle(self, state: LaneState, report: Report, now: float) -> None:
        """Correct what limits were charged for an attempt."""
        grant, usage, limits = report.ticket.grant, report.usage, state.limits
        if grant is not None:
            limits.settle(grant, now, usage.total_tokens or None, report.sent_at, usage.output_tokens or None)
            if report.answered and limits.counts_tokens:
                state.learn(report.ticket.job, usage)

    def failed(self, report: Report, now: float) -> None:
        """Take note of a failure, and decide what can be decided now."""
        ticket, scope = report.ticket, report.scope
        state = self.lanes.states[ticket.lane]
        self._settle(state, report, now)
        tried, written = len(self.again), len(self.write)
        if report.cause is FaultCause.NOT_LEFT:
            self._not_left(state, report, now)
        elif scope in (Scope.THROTTLE, Scope.PARALLEL):
            self._limited(state, report, now)
        elif scope is Scope.SERVER or (report.cause is FaultCause.DNS and state.health.trouble.worked):
            self._server(state, report, now)
        else:
            self._permanent(state, report, now)
        if self.log is not None:
            retry_in = next((max(0.0, due - now) for due, again in self.again[tried:] if again.job is ticket.job), None)
            self.log.failed(report, retry_in, written=any(each is report.failure for each in self.write[written:]))
            if scope is Scope.THROTTLE and report.wait_seconds:
                self.log.events.append(Paused(now, report.wait_seconds, report.message, state.name))

    def tick(self, now: float) -> None:
        """Look at the clock, about once a second. A lane may have fallen silent, or nothing may have worked for too long."""
        patience = self.policy.patience_seconds
        for state in self.lanes.states:
            if state.usable and state.tick(now, self._standing.latency_beside(state)):
                state.health.cause = reasons.silence(state)
                self._standing.is_held(state, now)
                self._send_unsure_again(now)
            wait = state.health.trouble.told_until - now
            if wait > patience and state.usable and state.refused is None and state.health.is_down(now):
                self._elsewhere(state, self._standing.waits(state, state.health.cause, wait, now), now)
        if self.log is not None:
            self.log.look(now, self.lanes.states)
        usable = [state for state in self.lanes.states if state.usable]
        if self.stop is None and usable and all(state.health.expired(now) or state.refused for state in usable):
            self._standing.stop = "; ".join(state.refused or reasons.patience(state, now, patience) for state in usable)

    def waits_for(self, now: float) -> str:
        """What the run waits for while nothing works, or "" while something does. It stays the same until another cause is met."""
        return self._waiting.told([state for state in self.lanes.states if state.usable], now)

    def idle(self, now: float) -> None:
        """Nothing is in flight or queued: decide what is still held."""
        for state in self.lanes.states:
            verdict = state.refusals.idle()
            if isinstance(verdict, Stop):
                self._elsewhere(state, self._standing.stops(state, verdict, now), now)
            else:
                for held in verdict:
                    self._own(held, now)
        own, probes = self._unsure.idle(now)
        self._write(own)
        for mine in probes:
            state = self.lanes.states[mine[0].ticket.lane]
            state.health.hold(now, mine[0].message)
            self._standing.is_held(state, now)
            for report in mine:
                self._again(report, now, failed=())

    # ---- failures ---------------------------------------------------------------------------------------------------

    def _limited(self, state: LaneState, report: Report, now: float) -> None:
        ticket, health = report.ticket, state.health
        state.throttled += 1
        wait = report.wait_seconds
        if ticket.grant is not None:
            parallel = report.scope is Scope.PARALLEL
            state.limits.refused(ticket.grant, now, wait, limits_told(report), parallel=parallel)
        health.limited(ticket.number, now, wait, report.message, first=not ticket.failed)
        self._standing.is_back(state, now)
        if wait is not None and wait > self.policy.patience_seconds:
            self._elsewhere(state, self._standing.waits(state, report.message, wait, now), now)
        if not report.retryable:
            self._hold(state, report, now)
            return
        failed = ticket.failed
        # One for each time that the limit was shut: while it is, every attempt is refused.
        if not (failed and health.first.limits_others and failed[-1].lane == state.index and failed[-1].number > health.last_good):
            failed = (*failed, FailedAttempt(state.index, ticket.number, report.scope))
        chance = len(failed) < self.policy.attempts or health.first.by_chance(len(failed), health.departures, limited=True)
        if not chance and self._unsure.tells(failed):
            self._write([report])
        elif self._standing.others(state):
            self._again(report, now, failed=failed, avoid=state.index)
        else:
            self._again(report, now + report.delay, failed=failed)

    def _server(self, state: LaneState, report: Report, now: float) -> None:
        ticket, health = report.ticket, state.health
        busy = report.status in BUSY and health.still_answers(now)
        if report.status in BUSY and not ticket.failed:
            health.first.limited.add(1)
        if ticket.grant is not None:
            state.limits.lost(ticket.grant, now, busy=busy)
        unreachable = report.cause in NO_SERVER
        others = self._standing.others(state)
        held = health.failed(
            ticket.number,
            ticket.job.index,
            now,
            report.wait_seconds if report.status in BUSY else None,
            report.message,
            first=not ticket.failed,
            unreachable=unreachable,
            others=any(other.health.never_fails for other in self.lanes.states if other is not state and other.working),
        )
        if held:
            self._standing.is_held(state, now)
            self._send_unsure_again(now)
        if self._unsure.was_left_over(report, now):
            self._write([report])
            return
        outage = unreachable or health.in_outage(ticket.number)
        failed = ticket.failed if outage else (*ticket.failed, FailedAttempt(state.index, ticket.number, report.scope))
        failed = tuple(each for each in failed if not self._unsure.in_outage(each))
        avoid = state.index if others else -1
        chance = health.first.by_chance(len(failed), health.departures, limited=False)
        if report.status in BUSY and health.first.limits_others:  # else it is this row's own
            chance = chance or health.first.by_chance(len(failed), health.departures, limited=True)
        if len(failed) < self.policy.attempts or chance:
            at_once = outage or (others and (report.cause or report.wait_seconds))  # what a lane asks to wait holds for no other lane
            self._again(report, now if at_once else now + report.delay, failed=failed, avoid=avoid)
        elif self._unsure.tells(failed):
            self._write([report])
        else:
            self._unsure.hold(report)

    def _not_left(self, state: LaneState, report: Report, now: float) -> None:
        """What did not leave says nothing, neither of its row nor of the provider."""
        ticket = report.ticket
        if ticket.grant is not None:
            state.limits.lost(ticket.grant, now)
        state.health.refused(ticket.number)
        self._again(report, now, failed=ticket.failed)

    def _permanent(self, state: LaneState, report: Report, now: float) -> None:
        ticket, health = report.ticket, state.health
        if ticket.grant is not None:
            state.limits.answered(ticket.grant, now)
        if report.scope is Scope.ROW:
            health.answered(ticket.number, first=not ticket.failed)
            self._standing.is_back(state, now)
            self._write(self._unsure.known())
        else:
            health.refused(ticket.number)
        if report.retryable and report.scope is Scope.ROW:
            failed = (*ticket.failed, FailedAttempt(state.index, ticket.number, report.scope))
            if len(failed) < self.policy.attempts:
                # A page of somebody else under a success status: what another lane says shows whether it is the row's own.
                avoid = state.index if self._standing.others(state) else -1
                self._again(report, now + report.delay, failed=failed, avoid=avoid)
                return
        self._hold(state, report, now)

    def _hold(self, state: LaneState, report: Report, now: float) -> None:
        """Keep a row until it is known whether others get the same answer; one that another lane may take goes there."""
        ticket = report.ticket
        elsewhere = report.scope is not Scope.ROW and not ticket.refused and self._standing.others(state)
        health = state.health
        if health.state is State.HELD and ticket.number >= health.held_from:
            health.hold(now, report.message)
        stop = state.refusals.hold(report, keep=not elsewhere, departures=health.departures)
        if elsewhere:
            self._again(report, now, failed=ticket.failed, avoid=state.index, refused=True)
        if stop is not None:
            self._elsewhere(state, self._standing.stops(state, stop, now), now)

    def went_out(self, state: LaneState, now: float) -> None:
        """Act on what others say: a lane is used no longer, or refuses the key of all. Its rows go elsewhere, or the run stops."""
        stop, state.refusals.told = state.refusals.told, None
        if stop is not None and state.usable:
            state.unhandled = False
            self._elsewhere(state, self._standing.stops(state, stop, now), now)
        else:
            self._elsewhere(state, self._standing.went_out(state, now), now)

    def _elsewhere(self, state: LaneState, held: list[Report], now: float) -> None:
        """Send rows that a lane held to another one."""
        for report in held:
            self._again(report, now, failed=report.ticket.failed, avoid=state.index, refused=True)

    def _again(self, report: Report, due: float, *, failed: tuple[FailedAttempt, ...], avoid: int = -1, refused: bool = False) -> None:
        from pipeline.core.pacing.again import another_attempt  # noqa: PLC0415  for the first retry

        self.again.append((due, another_attempt(report, failed, avoid=avoid, refused=refused)))

    def _own(self, report: Report, now: float) -> None:
        """A permanent failure that is the row's own: a first 401 is tried once more, anything else is written."""
        failure = report.failure
        if failure is not None and failure.status_code == UNAUTHORIZED and not report.ticket.refused:
            self._again(report, now, failed=report.ticket.failed, refused=True)
        else:
            self._write([report])

    def _write(self, reports: list[Report]) -> None:
        self.write.extend(report.failure for report in reports if report.failure is not None)

    def _send_unsure_again(self, now: float) -> None:
        """A lane is held: what failed there of late may not have been the rows' fault."""
        for report in self._unsure.from_outage():
            self._again(report, now, failed=())

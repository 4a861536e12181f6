"""The only place that lets an attempt leave: one actor, one inbox, no shared state.

It owns the lanes, the rows that wait (`waiting_rows`) and the count of what is in flight. A retry is an attempt like any other and
passes here too, before new jobs, so that a storm of failures cannot run above the rate. What a failure means for its row and its
lane is decided in `core/pacing/judge.py`; here it is only carried out.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from pipeline.core.pacing.judge import Judge
from pipeline.core.pacing.lane import TICK_SECONDS, Bound
from pipeline.core.pacing.lane_state import IN_FLIGHT, LANE_OUT
from pipeline.messages import Change, Notice, Report, Ticket
from pipeline.stages.groups import take, take_nowait
from pipeline.stages.telling import Telling
from pipeline.stages.waiting_rows import WaitingRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio import MemoryReceiveChannel

    from pipeline.core.answers.retry import RetryPolicy
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.messages import GateMessage
    from pipeline.ports import Observer
    from pipeline.records import Job, Outcome, Usage
    from pipeline.stages.gate_tally import GateTally
    from pipeline.stages.mailbox import Inbox, Outlet


INTERRUPTED = "interrupted"
LOOK_SECONDS = 1.0  # between two looks at the clock: has a lane fallen silent, has nothing worked for too long?
_LIMITS = frozenset(bound.value for bound in Bound)


async def gate(
    inbox: MemoryReceiveChannel[GateMessage] | Inbox[GateMessage],
    tickets: Outlet[list[Ticket]],
    outcomes: Outlet[Outcome],
    *,
    lanes: Lanes,
    policy: RetryPolicy,
    tally: GateTally,
    stop: trio.Event,
    halt: Callable[[], None] | None = None,
    observers: Sequence[Observer] = (),
    cost_of: Callable[[Job, Usage, str], float | None] | None = None,
    full: Callable[[], bool] | None = None,
) -> None:
    """Release tickets as the lanes allow, until every job has ended.

    tickets: must have room for a group per worker, and may make its attempts before it returns. outcomes: for a message per credit.
    stop: wakes a gate that sleeps until its next tick; the code that sets it also sends Notice.STOP. halt: called when the gate
    stops by itself. observers: told what happens to attempts and lanes, in groups. cost_of: for their records, see `EventLog`.
    full: whether no more rows may be read now. After a stop what is in flight may finish, and the rows that wait here are dropped
    without an outcome.
    """
    with inbox, tickets, outcomes:
        telling = Telling(observers, cost_of) if observers else None
        judge = Judge(lanes, policy, log=None if telling is None else telling.log)
        tally.lanes = lanes.states
        try:
            rows = WaitingRows(lanes, outcomes.send_nowait, telling)
            await _Gate(inbox, tickets, outcomes, lanes, judge, tally, stop, halt, telling, full, rows).run()
        finally:
            if telling is not None:
                telling.hand_over_answers()


class _Gate(Struct, eq=False):
    inbox: MemoryReceiveChannel[GateMessage] | Inbox[GateMessage]
    tickets: Outlet[list[Ticket]]
    outcomes: Outlet[Outcome]
    lanes: Lanes
    judge: Judge
    tally: GateTally
    stop: trio.Event
    halt: Callable[[], None] | None
    telling: Telling | None
    full: Callable[[], bool] | None
    rows: WaitingRows
    in_flight: int = 0
    look_at: float = -inf  # when to look at the clock next
    ended: bool = False

    async def run(self) -> None:
        """Let attempts leave until all rows have ended, and look at the clock once a second.

        One scope serves all waits of a second: a scope with a deadline for each wait costs 3 µs a row.
        """
        finished = False
        while not finished:
            self._look(trio.current_time())
            with trio.CancelScope(deadline=self.look_at):
                finished = await self._until_look()

    async def _until_look(self) -> bool:
        """Let attempts leave until it is time to look at the clock; True once all rows have ended."""
        while True:
            now = trio.current_time()
            if now >= self.look_at:
                return False
            due, bound = self._release(now)
            if not self.in_flight and due == inf:  # no report and no time will change anything
                self.judge.idle(now)
                decided = self._decide()
                parked = self.rows.parked
                if not decided and parked and all(never for _, never in parked) and self._missing() != "input":
                    self._stop(parked[0][1] or "")
                if self._finished():
                    return True
                if decided:
                    continue
            await self._wait(now, due, bound)

    def _idle(self) -> bool:
        return not (self.in_flight or self.rows)

    def _finished(self) -> bool:
        return self._idle() and (
            self.tally.stopped is not None or (self.ended and not any(state.refusals.in_doubt for state in self.lanes.states))
        )

    # ---- release -------------------------------------------------------------------------------------------------

    def _release(self, now: float) -> tuple[float, str]:
        """Let go all that may leave now; return when to look again at the latest, and what holds the rest back."""
        group: list[Ticket] = []
        aside: list[Ticket] = []
        self.lanes.look(now)
        due, bound = self._fill(group, aside, now)
        for ticket in aside if self.tally.stopped is None else ():
            self.rows.put_back(ticket)
        for state in self.lanes.states:
            if state.unhandled:  # its budget is spent
                self.judge.went_out(state, now)
        if group:
            if self.telling is not None:
                self.telling.left(group, now, self.lanes.states)
            self.in_flight += len(group)
            self.tally.attempts += len(group)
            self.tally.first_at = self.tally.first_at or now
            self.tally.last_at = now
            self.tickets.send_nowait(group)
        self.tally.in_flight = self.in_flight
        self.tally.waiting = self.rows.retries
        self.tally.queued = len(self.rows.jobs)
        return due, bound

    def _fill(self, group: list[Ticket], aside: list[Ticket], now: float) -> tuple[float, str]:
        lanes, rows = self.lanes, self.rows
        in_doubt = lanes.in_doubt
        while True:
            if lanes.alone is not None and rows.leave_together(lanes.alone, group, now, self.tally.bound, fresh=in_doubt):
                return inf, IN_FLIGHT
            ticket = rows.next(now, fresh=in_doubt)
            if ticket is None:
                return rows.due, self._without_row(aside)
            hold = lanes.admit(now, ticket)
            if hold is None:
                if ticket.attempt > 1:
                    self.tally.retries += 1
                ticket.held_by = self.tally.bound
                group.append(ticket)
            elif hold.parked:
                rows.parked.append((ticket, hold.never))
            elif hold.avoided:
                aside.append(ticket)
            else:
                rows.put_back(ticket)
                if hold.never is not None and not any(state.unhandled for state in lanes.states):
                    self._stop(hold.never)
                return hold.wake, hold.bound

    def _without_row(self, aside: list[Ticket]) -> str:
        """What the run waits for where no row is left that could leave. aside: rows that avoid a lane, the only one with free slots."""
        if aside:
            return IN_FLIGHT
        if self.rows.retries:
            return "retry"
        return self._missing() or (LANE_OUT if self.rows.parked else "")

    def _missing(self) -> str:
        """Why there is no row to send: none was read, none may be read before others are written, or the input has ended."""
        if self.ended:
            return ""
        return "output" if self.full is not None and self.full() else "input"

    # ---- wait ----------------------------------------------------------------------------------------------------

    async def _wait(self, now: float, due: float, bound: str) -> None:
        self.tally.bound = bound
        self.lanes.explain(bound)
        messages: list[GateMessage] = []
        try:
            if bound in _LIMITS and due - now <= 2 * TICK_SECONDS:
                # A limit binds: sleep through the reports to the next tick, so that the cost of an attempt does not
                # depend on the rate (a wake per ticket costs 300 µs a row at 3,000/s, a tick 80).
                with trio.move_on_at(due):
                    await self.stop.wait()
                messages = take_nowait(self.inbox)
            elif due >= self.look_at:
                messages = await take(self.inbox)
            else:
                with trio.move_on_at(due):
                    messages = await take(self.inbox)
        finally:
            later = trio.current_time()
            if bound:
                self.tally.waited(bound, later - now)
        self._read(messages, later)
        self._decide()

    def _look(self, now: float) -> None:
        """Look at the clock: a lane may have fallen silent, nothing may have worked for too long, a parked row may leave now."""
        self.rows.unpark()
        self.tally.looked_at = now
        self.judge.tick(now)
        self.look_at = now + LOOK_SECONDS
        self.tally.waits_for = self.judge.waits_for(now) if self.tally.stopped is None else ""
        self._decide()
        if self.telling is not None:
            self.telling.hand_over_answers()

    def _note(self, notice: Notice) -> None:
        if notice is Notice.END_OF_INPUT:
            self.ended = True
        else:
            self._stop(INTERRUPTED)

    def _stop(self, reason: str) -> None:
        if self.tally.stopped is None:
            self.tally.stopped = reason
            if self.telling is not None:
                self.telling.stopping(trio.current_time(), reason, self.in_flight)
            if self.halt is not None:
                self.halt()
        self.tally.waits_for = ""
        self.rows.clear()

    # ---- reports -------------------------------------------------------------------------------------------------

    def _read(self, messages: Sequence[GateMessage], now: float) -> None:
        """Act on messages in order of arrival; plain answers that follow each other are counted together."""
        plain: list[Report] = []
        for message in messages:
            if isinstance(message, Report) and message.is_plain:
                plain.append(message)
                continue
            if plain:
                self._answered(plain, now)
                plain = []
            if isinstance(message, Report):
                self._settle(message, now)
            elif isinstance(message, Notice):
                self._note(message)
            elif isinstance(message, Change):
                message.apply(now)
            elif self.tally.stopped is None:
                self.rows.jobs.extend(message)
                if self.telling is not None:
                    self.telling.read(message)
        if plain:
            self._answered(plain, now)

    def _answered(self, reports: list[Report], now: float) -> None:
        self.in_flight -= len(reports)
        for state in self.lanes.states:
            if state.account is not None:
                for report in reports:
                    if report.ticket.lane == state.index:
                        state.account.settle(report)
        self.judge.answered_together(reports, now)

    def _settle(self, report: Report, now: float) -> None:
        self.in_flight -= 1
        account = self.lanes.states[report.ticket.lane].account
        if account is not None:
            account.settle(report)
        if report.answered:
            self.judge.succeeded(report, now)
            return
        self.tally.unknown_outcome += report.maybe_sent
        self.tally.throttled += report.throttled
        self.judge.failed(report, now)

    def _decide(self) -> bool:
        """Carry out what has been decided about rows, and about the run; whether there was anything."""
        judge = self.judge
        decided = bool(judge.write or judge.again or (judge.stop is not None and self.tally.stopped is None))
        for failure in judge.write:
            self.outcomes.send_nowait(failure)
        judge.write.clear()
        if judge.stop is not None and self.tally.stopped is None:
            self._stop(judge.stop)
        if self.tally.stopped is None:
            for due, ticket in judge.again:
                self.rows.try_again(ticket, due)
        judge.again.clear()
        if self.telling is not None:
            self.telling.hand_over()
        return decided

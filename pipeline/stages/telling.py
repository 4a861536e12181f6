"""The gate's side of the port `Observer`: notes when attempts leave, and hands over what happened. Exists only where somebody observes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.pacing.event_log import EventLog
from pipeline.events import RunStopping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.messages import Ticket
    from pipeline.ports import Observer
    from pipeline.records import Job, Usage


@define(eq=False)
class Telling:
    """Observers of a run, and what they have not been told yet. cost_of: see `EventLog`."""

    observers: Sequence[Observer]
    cost_of: Callable[[Job, Usage, str], float | None] | None = None
    log: EventLog = field(init=False)
    _turns: dict[int, float] = field(factory=dict)  # when rows that were held back were first the next ones to leave, by index

    def __attrs_post_init__(self) -> None:
        self.log = EventLog(self.cost_of)

    def next_is(self, ticket: Ticket, now: float) -> None:
        """Note that a row is the next one to leave for the first time, or again after it was held back."""
        ticket.turn = self._turns.pop(ticket.job.index, now)

    def held_back(self, ticket: Ticket) -> None:
        """Note that a new row does not leave now, and its ticket is dropped."""
        self._turns[ticket.job.index] = ticket.turn

    def left(self, group: list[Ticket], now: float, bound: str) -> None:
        """Note attempts that leave. bound: what the gate had waited for."""
        for ticket in group:
            ticket.left, ticket.held_by = now, bound

    def stopping(self, now: float, reason: str, in_flight: int) -> None:
        """Note that nothing more leaves."""
        self.log.events.append(RunStopping(now, reason, in_flight))

    def hand_over(self) -> None:
        """Tell the observers what happened since the last time."""
        log = self.log
        if log.records:
            records, log.records = log.records, []
            for observer in self.observers:
                observer.attempts(records)
        if log.events:
            events, log.events = log.events, []
            for observer in self.observers:
                observer.events(events)

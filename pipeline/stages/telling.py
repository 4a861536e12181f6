"""The gate's side of the port `Observer`: notes when attempts leave, and hands over what happened. Exists only where somebody observes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.pacing.event_log import EventLog
from pipeline.events import AttemptResult, RunStopping
from pipeline.stages.room import SHORT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeGuard

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.messages import Ticket
    from pipeline.ports import GroupObserver, Observer
    from pipeline.records import Job, Usage


MANY = 128  # answers that are told at once: each group costs some 10 µs


class Telling:
    """Observers of a run, and what they have not been told yet. cost_of: see `EventLog`. log: takes what happens."""

    def __init__(self, observers: Sequence[Observer], cost_of: Callable[[Job, Usage, str], float | None] | None = None) -> None:
        self._observers = observers
        self._in_groups = [each for each in observers if _takes_groups(each)]
        self._one_by_one = [each for each in observers if not _takes_groups(each)]
        self.log = EventLog(cost_of, in_groups=bool(self._in_groups), one_by_one=bool(self._one_by_one))
        self._turns: dict[int, float] = {}  # when rows that were held back were first the next ones to leave, by index
        self._most = MANY  # answers that wait to be told: they hold their requests

    def read(self, jobs: Sequence[Job]) -> None:
        """Note rows that were read. Reports on long requests are not kept, since they hold them."""
        if self._most > 1 and max([len(job.body) for job in jobs]) > SHORT_BYTES:
            self._most = 1

    def turn_of(self, job: Job, now: float) -> float:
        """When a row that leaves now was first the next one to leave."""
        return self._turns.pop(job.index, now) if self._turns else now

    def waits(self, job: Job, since: float) -> None:
        """Note that a new row is the next one to leave, and is held back."""
        self._turns.setdefault(job.index, since)

    def left(self, group: Sequence[Ticket], now: float, lanes: Sequence[LaneState]) -> None:
        """Note attempts that leave. lanes: all of them, each of which knows what it had waited for."""
        for observer in self._in_groups:
            for lane in lanes:
                mine = group if len(lanes) == 1 else [ticket for ticket in group if ticket.lane == lane.index]
                if mine:
                    tokens = sum([ticket.charged for ticket in mine]) if mine[0].charged else 0  # a lane charges all or none
                    observer.left(lane.name, len(mine), now, lane.waits.bound, tokens)

    def stopping(self, now: float, reason: str, in_flight: int) -> None:
        """Note that nothing more leaves."""
        self.log.events.append(RunStopping(now, reason, in_flight))

    def hand_over(self) -> None:
        """Tell the observers what happened since the last time. Answers may wait for more of them: see `hand_over_answers`."""
        log = self.log
        if log.records:
            records, log.records = log.records, []
            for observer in self._one_by_one:
                observer.attempts(records)
            if self._in_groups and (others := [each for each in records if each.result is not AttemptResult.ANSWERED]):
                for observer in self._in_groups:
                    observer.attempts(others)
        if log.events:
            events, log.events = log.events, []
            for observer in self._observers:
                observer.events(events)
        if len(log.answered) >= self._most:
            self.hand_over_answers()

    def hand_over_answers(self) -> None:
        """Tell those that are told in groups of the answers since the last time; about once a second."""
        log = self.log
        if log.answered:
            reports, log.answered = log.answered, []
            for observer in self._in_groups:
                observer.answered(reports, log.costs(reports))


def _takes_groups(observer: Observer) -> TypeGuard[GroupObserver]:
    return hasattr(observer, "answered")

"""The rows that wait to leave: new ones in input order, those to be tried again by due time, and those parked for a lane that works."""

from __future__ import annotations

import heapq
from collections import deque
from math import inf
from typing import TYPE_CHECKING

from pipeline.messages import Ticket
from pipeline.records import Failure, FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.records import Job, Outcome
    from pipeline.stages.telling import Telling


class WaitingRows:
    """The gate's rows that are not in flight.

    write: takes the failure of a row that no limit would ever let pass. telling: is told when rows get their turn. jobs: new rows.
    parked: rows that no lane that works could take, and why none ever will.
    """

    __slots__ = ("_lanes", "_pushed", "_retries", "_telling", "_write", "jobs", "parked")

    def __init__(self, lanes: Lanes, write: Callable[[Outcome], None], telling: Telling | None) -> None:
        self._lanes = lanes
        self._write = write
        self._telling = telling
        self.jobs: deque[Job] = deque()
        self._retries: list[tuple[float, int, Ticket]] = []  # a heap; the number breaks ties
        self._pushed = 0
        self.parked: list[tuple[Ticket, str | None]] = []

    def __bool__(self) -> bool:
        return bool(self.jobs or self._retries or self.parked)

    @property
    def retries(self) -> int:
        """How many rows are to be tried again."""
        return len(self._retries)

    @property
    def due(self) -> float:
        """When the next row is to be tried again; inf if none is."""
        return self._retries[0][0] if self._retries else inf

    def next(self, now: float, *, fresh: bool) -> Ticket | None:
        """The row whose turn it is: a retry that is due, else a new one. fresh: the other way round."""
        if self.due <= now and not (fresh and self.jobs):
            return heapq.heappop(self._retries)[2]
        while self.jobs:
            job = self.jobs.popleft()
            reason = self._lanes.refuses_job(job)
            if reason is None:
                ticket = Ticket(job, 1, None)
                if self._telling is not None:
                    ticket.turn = self._telling.turn_of(job, now)
                return ticket
            self._write(Failure(job.index, job.custom_id, FailureKind.TOO_LARGE, reason))
        return None

    def leave_together(self, lane: LaneState, group: list[Ticket], now: float, held_by: str, *, fresh: bool) -> bool:
        """Let new rows leave on the only lane, as many as may, and add them to the group.

        True if rows wait and only a report can let more leave; else ask for one more. held_by: for their tickets. fresh: as for `next`.
        """
        due = self.due <= now
        if self.jobs and (fresh or not due):
            tickets = lane.admit_many(now, self.jobs, held_by)
            if tickets:
                if self._telling is not None:
                    tickets[0].turn = self._telling.turn_of(tickets[0].job, now)  # only the first can have waited for its turn
                group += tickets
        if not lane.is_full or not (due or self.jobs):
            return False
        if self.jobs and self._telling is not None:
            self._telling.waits(self.jobs[0], now)
        return True

    def put_back(self, ticket: Ticket) -> None:
        """A row does not leave now, and is the next one again."""
        if ticket.attempt > 1:
            self.try_again(ticket, -inf)
            return
        self.jobs.appendleft(ticket.job)
        if self._telling is not None:
            self._telling.waits(ticket.job, ticket.turn)

    def try_again(self, ticket: Ticket, due: float) -> None:
        """A row is to be tried again."""
        self._pushed += 1
        heapq.heappush(self._retries, (due, self._pushed, ticket))

    def unpark(self) -> None:
        """Parked rows may leave now, or wait for something else."""
        while self.parked:
            self.put_back(self.parked.pop()[0])

    def clear(self) -> None:
        """Drop all rows: nothing more leaves."""
        self.jobs.clear()
        self._retries.clear()
        self.parked.clear()

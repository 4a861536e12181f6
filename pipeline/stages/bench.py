"""Idle workers wait here for their next ticket: like a channel without a buffer, at half of its cost.

A worker comes here once for every attempt, and a channel's `receive` tries, fails and catches before it waits.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

if TYPE_CHECKING:
    from trio.lowlevel import Task

    from pipeline.messages import Ticket


class Bench:
    """Idle workers. Who has waited longest is served first, so that every connection is used now and then."""

    __slots__ = ("_closed", "_given", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[Task, None] = OrderedDict()
        self._given: dict[Task, Ticket] = {}  # to those who have not yet gone on
        self._closed = False

    def give(self, ticket: Ticket) -> bool:
        """Hand a ticket to a worker; False if none waits."""
        if not self._waiting:
            return False
        worker, _ = self._waiting.popitem(last=False)
        self._given[worker] = ticket
        reschedule(worker)
        return True

    async def wait(self) -> Ticket | None:
        """The next ticket, or None if none will come. Cancellation: nothing is lost, for a ticket given is a ticket got."""
        if self._closed:
            return None
        worker = current_task()
        self._waiting[worker] = None

        def leave(_: object) -> Abort:
            del self._waiting[worker]
            return Abort.SUCCEEDED

        await wait_task_rescheduled(leave)
        return self._given.pop(worker, None)

    def close(self) -> None:
        """Send everybody home, now and later."""
        self._closed = True
        for worker in self._waiting:
            reschedule(worker)
        self._waiting.clear()

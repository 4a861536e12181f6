"""Idle workers wait here for their next ticket."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.light import Resumed
    from pipeline.messages import Ticket


class IdleWorkers:
    """Workers (light tasks) that wait for a ticket. The longest waiting one gets the next, so that every connection is used."""

    __slots__ = ("_closed", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Resumed] = deque()
        self._closed = False

    def __await__(self) -> Generator[IdleWorkers, Ticket | None, Ticket | None]:
        """The next ticket, or None if none will come."""
        return (yield self)

    def hold(self, waiting: Resumed) -> None:
        """Keep a worker until there is a ticket for it."""
        if self._closed:
            waiting.resume()
        else:
            self._waiting.append(waiting)

    def give(self, ticket: Ticket) -> bool:
        """Hand a ticket to a worker, which begins its attempt within this call; False if none waits."""
        if not self._waiting:
            return False
        self._waiting.popleft().resume(ticket)
        return True

    def close(self) -> None:
        """Tell all workers, those that wait and those that come later, that there will be no ticket."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().resume()

"""Idle workers wait here for their next ticket."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.light import Resumed
    from pipeline.messages import Ticket


class Bench:
    """Idle workers, which are light tasks. Who has waited longest is served first, so that every connection is used now and then."""

    __slots__ = ("_closed", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Resumed] = deque()
        self._closed = False

    def __await__(self) -> Generator[Bench, Ticket | None, Ticket | None]:
        """The next ticket, or None if none will come."""
        return (yield self)

    def hold(self, waiting: Resumed) -> None:
        """Keep a worker until there is a ticket for it."""
        if self._closed:
            waiting.resume()
        else:
            self._waiting.append(waiting)

    def give(self, ticket: Ticket) -> bool:
        """Hand a ticket to a worker, which sets to work in this call; False if none waits."""
        if not self._waiting:
            return False
        self._waiting.popleft().resume(ticket)
        return True

    def close(self) -> None:
        """Send everybody home, now and later."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().resume()

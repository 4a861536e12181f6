"""The deadlines of all connections, kept by one task: an attempt writes two numbers and pays for nothing else.

The task sleeps until the nearest deadline it saw. An attempt that starts meanwhile ends later than that, for it has at least
`patience` seconds; one that starts with less (its connection took long) says so by `remind`. So it wakes about once in
`patience` seconds, and for every deadline that really passes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from pipeline.edges.http.connection import Connection
    from pipeline.edges.sender import Timeouts

TICK_SECONDS = 0.02  # a look at 10,000 connections takes 2 ms


class Watch:
    """Ends what waits on a connection past its deadline."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._connections: set[Connection] = set()
        self._nap = trio.CancelScope()

    def add(self, connection: Connection) -> None:
        """Look after a connection until it is discarded."""
        self._connections.add(connection)

    def discard(self, connection: Connection) -> None:
        """Look after it no more."""
        self._connections.discard(connection)

    def remind(self, at: float) -> None:
        """Look again by then."""
        self._nap.deadline = min(self._nap.deadline, at)

    async def run(self) -> None:
        """Keep watch until cancelled."""
        while True:
            now = trio.current_time()
            nearest = self._look(now)
            self._nap = trio.CancelScope(deadline=max(nearest, now + TICK_SECONDS))
            with self._nap:
                await trio.sleep_forever()

    def _look(self, now: float) -> float:
        idle = self._timeouts.idle
        nearest = now + min(idle, self._timeouts.total)
        for connection in self._connections:
            due = min(connection.ends_at, connection.heard_at + idle)
            if due <= now:
                connection.expire(self._reason(connection, now))
            elif due < nearest:
                nearest = due
        return nearest

    def _reason(self, connection: Connection, now: float) -> str:
        timeouts = self._timeouts
        if connection.ends_at <= now:
            return f"no complete response within {timeouts.total:g} s (total deadline)"
        return f"not a byte from the server for {timeouts.idle:g} s (idle deadline)"


REST = math.inf  # a connection without an attempt has its deadlines here

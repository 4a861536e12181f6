"""The deadlines of all connections, kept by one task: an attempt writes a number or two and pays for nothing else.

The task sleeps until the nearest deadline that it knows of. When it wakes, it looks at all connections: deadlines that moved
away meanwhile cost nothing. A sender that sets a nearer deadline calls `remind`. So the task wakes about once per timeout, and
for every deadline that really passes. A cancel scope per attempt would cost 10 µs, or 35 µs with a thousand of them in flight.
How a connection is woken by bytes or by a deadline: `connection`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from pipeline.edges.http.readiness import Readiness

if TYPE_CHECKING:
    from pipeline.edges.http.connection import Connection

TICK_SECONDS = 0.02  # a look at 10,000 connections takes 2 ms
# With at most this many connections, those on which only tasks of trio's wait (streams) do so on trio directly: a shared epoll only pays
# for them when several become readable per scheduler pass. With 200 in flight it saves 4 µs a wait, with 50 one or two if saturated; with
# 20 it costs 3 and with 8 six. Light tasks always wait in the epoll.
FEW = 64
REST = math.inf  # where a connection's deadlines are while nothing is under way on it


class Watch:
    """Ends what waits on a connection past its deadline, and owns the connections and what wakes them.

    idle: seconds that a server may be silent. next_look: clock when it looks at the deadlines again.
    """

    def __init__(self, idle: float = math.inf) -> None:
        self._idle = idle
        self._connections: set[Connection] = set()
        self._readiness = Readiness()
        self.next_look = -math.inf  # not yet running: it looks when it starts
        self._nap = trio.CancelScope()
        self._work = trio.CancelScope()

    def add(self, connection: Connection) -> None:
        """Look after a connection until it is closed."""
        connection.on_close = self.discard
        self._connections.add(connection)
        if len(self._connections) > FEW:
            self._readiness.add(connection)

    def wakes(self, connection: Connection) -> bool:
        """Wake a connection from now on when something comes; False if that cannot be done here."""
        return connection.is_woken or self._readiness.add(connection)

    def discard(self, connection: Connection) -> None:
        """Stop looking after a connection, which calls this itself just before it closes its socket."""
        self._connections.discard(connection)
        self._readiness.discard(connection)

    def close(self) -> None:
        """End the watch, and close what it looks after."""
        self._work.cancel()
        for connection in list(self._connections):
            connection.close()
        self._readiness.close()

    def remind(self, at: float) -> None:
        """Look again by then."""
        if at < self.next_look:
            self._nap.deadline = self.next_look = at

    async def run(self) -> None:
        """Keep watch until closed or cancelled."""
        with self._work:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._readiness.run)
                nursery.start_soon(self._readiness.tick)
                await self._keep_deadlines()

    async def _keep_deadlines(self) -> None:
        while True:
            now = trio.current_time()
            self.next_look = max(self._look(now), now + TICK_SECONDS)
            self._nap = trio.CancelScope(deadline=self.next_look)
            with self._nap:
                await trio.sleep_forever()

    def _look(self, now: float) -> float:
        nearest = math.inf
        over = []
        for connection in self._connections:
            due = min(connection.ends_at, connection.stalls_at, connection.heard_at + self._idle)
            if due <= now:
                over.append(connection)
            elif due < nearest:
                nearest = due
        for connection in over:  # in which a light task goes on, and may close it
            connection.expire("total" if connection.ends_at <= now else "stall" if connection.stalls_at <= now else "idle")
        return nearest

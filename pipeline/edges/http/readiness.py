"""Wakes connections when bytes arrive: one epoll for all of them, in which each is registered once.

Trio's `wait_readable` registers a socket again for every wait, with a system call and bookkeeping of its own. Here one pass of the
scheduler pays once for everything that arrived meanwhile: with 1,000 in flight each attempt costs 4 to 6 µs less. Light tasks go on
in this very pass, so it takes only so many connections at a time; the others come in the next one, behind everybody else's work.

A stream that has long begun is in no hurry: whether it is read at every event or five times a second, its answer is there at its end. So
a connection that is `unhurried` is only woken at the next tick, or at every second one, with all that arrived until then.
"""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import notify_closing, wait_readable

if TYPE_CHECKING:
    from pipeline.edges.http.connection import Connection


MOST_AT_ONCE = 64  # answers that are judged in one pass: about 2 ms
TICK_SECONDS = 0.1  # a stream ends half of this late, or once this: 2 % of one of 5 s


class Readiness:
    """Wakes the connections that were added. Without epoll it wakes none, and they wait on trio."""

    __slots__ = ("_arrived", "_connections", "_epoll", "_late", "_odd")

    def __init__(self) -> None:
        self._connections: dict[int, Connection] = {}
        self._late: set[Connection] = set()  # to be woken at the next tick
        self._arrived = trio.Event()  # something is in it
        self._odd = False  # the last tick
        self._epoll = select.epoll() if sys.platform == "linux" else None

    def add(self, connection: Connection) -> bool:
        """Wake a connection from now on; False if there is no epoll."""
        if self._epoll is None or self._epoll.closed:
            return False
        fd = connection.fileno()
        self._connections[fd] = connection
        # Edge-triggered: bytes are reported once, whether or not they are read; those that are there already, at once.
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        connection.is_woken = True
        return True

    def discard(self, connection: Connection) -> None:
        """Forget a connection, whose socket is still open."""
        self._late.discard(connection)
        if self._epoll is not None and self._connections.pop(connection.fileno(), None) is not None:
            self._epoll.unregister(connection.fileno())

    async def run(self) -> None:
        """Wake until closed or cancelled."""
        epoll = self._epoll
        while epoll is not None and not epoll.closed:
            await wait_readable(epoll.fileno())
            self._wake_all(epoll)

    async def tick(self) -> None:
        """Wake those that are in no hurry, until cancelled."""
        while True:
            await self._arrived.wait()
            await trio.sleep(TICK_SECONDS)
            self._odd = not self._odd
            late = {connection for connection in self._late if self._odd or connection.unhurried == 1}
            self._late -= late
            if not self._late:
                self._arrived = trio.Event()
            for connection in late:
                connection.wake()

    def close(self) -> None:
        """Wake no more. Calling it again does no harm."""
        if self._epoll is not None and not self._epoll.closed:
            notify_closing(self._epoll.fileno())
            self._epoll.close()

    def _wake_all(self, epoll: select.epoll) -> None:
        if epoll.closed:
            return  # since it was found readable
        for fd, events in epoll.poll(0, MOST_AT_ONCE):
            connection = self._connections.get(fd)
            if connection is None:
                continue  # closed by what another one has brought
            if connection.unhurried and events == select.EPOLLIN:
                if not self._late:
                    self._arrived.set()
                self._late.add(connection)
            else:
                connection.wake(at_end=events != select.EPOLLIN)

"""TLS sessions by which new connections begin. No socket, no handshake.

A resumed session spares both ends a part of the handshake: 150 µs of ours, and more of a server's. But OpenSSL copies a session whenever
Python takes it out of a connection or puts it into one, with the server's certificate, and each copy costs 130 to 150 µs. So one session
is taken and serves all connections until the server refuses it, and a connection that resumed one is not asked for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

MOST_FRUITLESS = 4  # sessions that came to nothing, one after the other: such a server gives none, or takes each only once


class ServerSession:
    """The session of one server.

    offered: by which the next connection may begin. is_wanted: whether a connection shall tell its own.
    """

    __slots__ = ("_fruitless", "offered")

    def __init__(self) -> None:
        self.offered: ssl.SSLSession | None = None
        self._fruitless = 0

    @property
    def is_wanted(self) -> bool:
        """There is none, and one would be of use."""
        return self.offered is None and self._fruitless < MOST_FRUITLESS

    def tell(self, session: ssl.SSLSession | None) -> bool:
        """A connection's session, as soon as it has a ticket; whether it is of use."""
        if session is None or not session.has_ticket:
            return False
        self.offered = session
        return True

    def failed(self, session: ssl.SSLSession | None = None) -> None:
        """The server did not take a session, or (None) gave none. Many connections may say so of one session, which counts once."""
        if session is self.offered:
            self.offered = None
            self._fruitless += 1

    def resumed(self) -> None:
        """The server took it."""
        self._fruitless = 0

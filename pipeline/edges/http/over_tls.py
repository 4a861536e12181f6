"""A connection over TLS: the same as a plain one to its owner, with OpenSSL between the bytes of its owner and those on the wire.

Theory of operation. OpenSSL works on two memory buffers: the socket's bytes are put into `_in`, and `_out` holds what is to be sent. A
request costs one call of each, and so does an answer that comes in one record. OpenSSL reads a whole record at a time, so what is left in
`_in` tells whether there is another one. If there is, `_left` is set, and `_stirred` too: nobody may wait for bytes that have come already.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio

from pipeline.edges.http.connection import RECEIVE_BYTES, Connection

if TYPE_CHECKING:
    import socket

    from pipeline.edges.http.endpoint import Caps
    from pipeline.edges.http.sessions import ServerSession

RECORD_BYTES = 16 * 1024  # the most that one record holds


class TlsConnection(Connection):
    """A connection whose bytes go through OpenSSL. `handshake` comes before everything.

    session: of its server. The handshake begins by the one that is remembered there, and this connection tells its own if one is wanted.
    """

    __slots__ = ("_begun", "_in", "_left", "_offered", "_out", "_session", "_tls")

    def __init__(self, sock: socket.socket, caps: Caps, context: ssl.SSLContext, host: str, session: ServerSession | None = None) -> None:
        super().__init__(sock, caps)
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._session = session  # until there is nothing more to tell
        self._offered = None if session is None else session.offered
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host, session=self._offered)
        self._begun = False  # a request has been sent
        self._left = False  # OpenSSL may have something to read

    async def handshake(self) -> None:
        """Agree on keys and check the certificate. Raises OSError, of which ssl.SSLError is one.

        Our last words of it leave with the first request, or by `settle`.
        """
        offered, session, self._offered = self._offered, self._session, None
        try:
            while not self._shake():
                await self._pull()
        except OSError:
            if session is not None and offered is not None:
                session.failed(offered)  # perhaps it was the session: the next connection begins without one
            raise
        if session is not None and offered is not None:
            if self._tls.session_reused:
                session.resumed()
                self._session = None
            else:
                session.failed(offered)
        self._left = self._stirred = self._in.pending > 0

    def settle(self) -> None:
        """Send what OpenSSL has to say of itself, as far as the kernel takes it; the rest goes with what leaves next. Raises OSError."""
        if self._out.pending and (rest := self._push_raw(self._out.read())) is not None:
            self._out.write(rest)

    def take(self, most: int = RECEIVE_BYTES) -> bytes | None:
        """As for a plain connection. A cut without a goodbye is an ssl.SSLError."""
        if self._fd < 0 or self.expired:
            raise trio.ClosedResourceError
        while True:
            if not self._left:
                data = self._take_raw()
                if data is None:
                    return None
                self._put(data)
            if (plain := self._read(most)) is not None:
                return plain

    async def receive(self, most: int = RECEIVE_BYTES) -> bytes:
        """As for a plain connection. A cut without a goodbye is an ssl.SSLError."""
        while True:
            if not self._left:
                await self._pull()
            if (plain := self._read(most)) is not None:
                return plain

    def start_long(self, head: bytes, body: bytes) -> memoryview | None:
        """As for a plain connection. OpenSSL copies the body all the same."""
        return self.start(head + body)

    def close(self) -> None:
        """As for a plain connection."""
        if self._begun:
            self._tell_session()
        super().close()

    def _shake(self) -> bool:
        """Go on with the handshake as far as it goes; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _read(self, most: int) -> bytes | None:
        """What OpenSSL makes of what has come; None if that is nothing for the owner of the connection."""
        try:
            data = self._tls.read(most)
        except ssl.SSLWantReadError:
            self._left = False
            if self._begun and self._session is not None:  # it was the ticket, most likely
                self._tell_session()
            self.settle()
            return None
        self._left = self._in.pending > 0 or (most < RECORD_BYTES and self._tls.pending() > 0)
        if self._left:
            self._stirred = True
        return data

    def surplus(self) -> bytes | None:
        """As for a plain connection. What came in one packet with the last response is no longer in the socket."""
        found = self._plain_surplus() if self._left else None
        return super().surplus() if found is None else found

    def _read_surplus(self) -> bytes | None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except OSError:
            return b""
        if not data:
            return b""
        self._in.write(data)
        return self._plain_surplus()

    def _plain_surplus(self) -> bytes | None:
        """What OpenSSL makes of it: session tickets and key updates may come at any time and mean nothing."""
        self._left = False
        try:
            return self._tls.read(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return b"" if self._out.pending else None  # it wants an answer of ours, which is not worth the trouble
        except OSError:
            return b""

    def _tell_session(self, *, last: bool = False) -> None:
        """Tell the session of this connection if it is wanted and has a ticket. last: there will be none later."""
        session = self._session
        if session is None:
            return
        if not session.is_wanted or session.tell(self._tls.session):
            self._session = None
        elif last:
            self._session = None
            session.failed()

    def _push(self, data: bytes | memoryview) -> memoryview | None:
        if self._session is not None and self._mark == self._sent:  # a request begins
            if self._begun:
                self._tell_session(last=True)
            self._begun = True
        written = self._tls.write(data)
        while written < len(data):
            written += self._tls.write(memoryview(data)[written:])
        return self._push_raw(self._out.read())

    async def _pull(self) -> None:
        """Wait for more of the server's bytes, and give them to OpenSSL."""
        if self._out.pending:
            rest = self._push_raw(self._out.read())
            if rest is not None and not await self.finish(rest):
                raise ConnectionResetError("the server closed the connection")
        self._put(await super().receive())

    def _put(self, data: bytes) -> None:
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()  # OpenSSL can then distinguish a proper end from a cut
        self._left = True

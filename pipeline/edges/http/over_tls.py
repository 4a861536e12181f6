"""A connection over TLS: the same as a plain one to its owner, with OpenSSL between the bytes of its owner and those on the wire."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trio

from pipeline.edges.http.connection import RECEIVE_BYTES, Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator

    from pipeline.edges.http.endpoint import Caps


class TlsConnection(Connection):
    """A connection whose bytes go through OpenSSL, between two memory buffers. `handshake` comes before everything.

    session: of an earlier connection, which spares both ends a part of the handshake if the server agrees. on_session: told once of the
    session by which another connection may begin; a server may send it as late as with its first answer.
    """

    __slots__ = ("_in", "_on_session", "_out", "_requests", "_tls")

    def __init__(
        self,
        sock: socket.socket,
        caps: Caps,
        context: ssl.SSLContext,
        host: str,
        session: ssl.SSLSession | None = None,
        on_session: Callable[[ssl.SSLSession], None] | None = None,
    ) -> None:
        super().__init__(sock, caps)
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=host, session=session)
        self._on_session = on_session
        self._requests = 0

    async def handshake(self) -> None:
        """Agree on keys and check the certificate. Raises OSError, of which ssl.SSLError is one."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._pull()
            else:
                await self._flush()
                return

    def _read_surplus(self) -> bytes | None:
        """As for a plain connection; but session tickets and key updates may come at any time and mean nothing."""
        try:
            data = self._sock.recv(RECEIVE_BYTES)
            if not data:
                return b""
            self._in.write(data)
            return self._tls.read(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return b"" if self._out.pending else None  # it wants an answer of ours, which is not worth the trouble
        except OSError:
            return b""

    def __await__(self) -> Generator[Connection, None, None]:
        """As for a plain connection, unless something is there that came with what was read before."""
        return iter(()) if self._is_pending else super().__await__()  # type: ignore[return-value]  # nothing is ever sent into it

    def take(self, most: int = RECEIVE_BYTES) -> bytes | None:
        """As for a plain connection. A cut without a goodbye is an ssl.SSLError."""
        if self._fd < 0 or self.expired:
            raise trio.ClosedResourceError
        if not self._is_pending and not self._fill():
            return None
        while True:
            try:
                return self._tls.read(most)
            except ssl.SSLWantReadError:
                if self._out.pending and (rest := self._push_raw(self._out.read())) is not None:
                    self._out.write(rest)  # to go with what leaves next
                if not self._fill():
                    return None

    async def receive(self, most: int = RECEIVE_BYTES) -> bytes:
        """As for a plain connection. A cut without a goodbye is an ssl.SSLError."""
        if not self._is_pending:
            await self._pull()
        while True:
            try:
                return self._tls.read(most)
            except ssl.SSLWantReadError:
                await self._pull()

    def start_long(self, head: bytes, body: bytes) -> memoryview | None:
        """As for a plain connection. OpenSSL copies the body all the same."""
        return self.start(head + body)

    def close(self) -> None:
        """As for a plain connection."""
        self._tell_session()
        super().close()

    def _tell_session(self) -> None:
        session = self._tls.session
        if self._on_session is not None and self._requests and session is not None and session.has_ticket:
            self._on_session(session)
            self._on_session = None

    def _push(self, data: bytes | memoryview) -> memoryview | None:
        if self._requests == 1:
            self._tell_session()
        self._requests += 1
        written = self._tls.write(data)
        while written < len(data):
            written += self._tls.write(memoryview(data)[written:])
        return self._push_raw(self._out.read())

    async def _flush(self) -> None:
        if self._out.pending:
            rest = self._push_raw(self._out.read())
            if rest is not None and not await self.finish(rest):
                raise ConnectionResetError("the server closed the connection")

    async def _pull(self) -> None:
        await self._flush()
        self._put(await super().receive())

    @property
    def _is_pending(self) -> bool:
        """Whether something that came has not been read yet."""
        return bool(self._in.pending or self._tls.pending())

    def _fill(self) -> bool:
        """Hand what has come to OpenSSL; False if nothing has."""
        data = self._take_raw()
        if data is None:
            return False
        self._put(data)
        return True

    def _put(self, data: bytes) -> None:
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()  # OpenSSL can then distinguish a proper end from a cut

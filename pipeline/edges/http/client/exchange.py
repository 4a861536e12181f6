"""One exchange for httpx: a request out, the head of its response in, and its body as a stream; trouble in httpx's words."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import httpx
import trio
from attrs import frozen

from pipeline.edges.http.response import MalformedResponseError
from pipeline.edges.http.watch import REST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.edges.http.connection import Connection
    from pipeline.edges.http.watch import Watch

MANY_PIECES = 64
TROUBLE = (OSError, trio.ClosedResourceError, MalformedResponseError)


@frozen
class Phase:
    """What httpx calls the troubles of one part of an exchange, and the name of its timeout."""

    name: str
    late: type[httpx.TimeoutException]
    broken: type[httpx.NetworkError]


WRITE = Phase("write", httpx.WriteTimeout, httpx.WriteError)
READ = Phase("read", httpx.ReadTimeout, httpx.ReadError)


class Exchange(httpx.AsyncByteStream):
    """A request and its response; as a stream, the response's body. Owns its connection until the body is whole.

    watch: keeps its deadlines. keep: takes the connection back then. Who stops reading earlier closes the stream, and so the connection.
    """

    def __init__(self, request: httpx.Request, head: bytes, body: bytes | None, watch: Watch, keep: Callable[[Connection], None]) -> None:
        self._request = request
        self._head = head
        self._body = body  # None: it streams
        self._watch = watch
        self._keep = keep
        self._timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        self._connection: Connection | None = None
        self._chunks: deque[bytes] = deque()

    async def begin(self, connection: Connection, *, reused: bool) -> bool:
        """Send the request and read the head of its response; False if it is certain that nobody got the request.

        Raises httpx.TransportError. Cancellation: the connection is closed.
        """
        reader = connection.reader
        reader.begin(without_body=self._request.method == "HEAD")
        phase = WRITE
        try:
            whole = await self._send(connection)
            phase = READ
            while not reader.head_complete:
                self._allow(connection, READ)
                reader.feed(await connection.receive())
        except TROUBLE as error:
            stale = reused and self._body is not None and not reader.started and connection.never_arrived(error)
            connection.close()
            if stale:
                return False
            raise self._named(phase, connection, error) from error
        except BaseException:
            connection.close()
            raise
        reader.reusable = reader.reusable and whole
        self._take_in(connection)
        return True

    def __aiter__(self) -> Exchange:
        # No generator: one that is left half-way (httpx does, when a body does not decode) makes trio complain.
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._connection is None:
                raise StopAsyncIteration
            await self._read_on(self._connection)
        return self._chunks.popleft()

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _send(self, connection: Connection) -> bool:
        """Whether the server took the whole request."""
        body = self._body
        rest = connection.start(self._head if body is None else self._head + body)
        if rest is not None:
            self._allow(connection, WRITE)
            if not await connection.finish(rest):
                return False
        return body is not None or await self._stream_out(connection)

    async def _stream_out(self, connection: Connection) -> bool:
        assert isinstance(self._request.stream, httpx.AsyncByteStream)
        chunked = "transfer-encoding" in self._request.headers
        left = 0 if chunked else int(self._request.headers.get("content-length", "0"))
        async for piece in self._request.stream:
            left -= len(piece)
            if not chunked and left < 0:
                raise httpx.LocalProtocolError("the body is longer than its content-length", request=self._request)
            data = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
            self._allow(connection, WRITE)
            if piece and not await connection.send_more(data):
                return False
            connection.ends_at = REST
        if not chunked and left:
            raise httpx.LocalProtocolError(f"the body lacks {left} bytes of its content-length", request=self._request)
        return not chunked or await connection.send_more(b"0\r\n\r\n")

    async def _read_on(self, connection: Connection) -> None:
        try:
            self._allow(connection, READ)
            connection.reader.feed(await connection.receive())
        except TROUBLE as error:
            await self.aclose()
            raise self._named(READ, connection, error) from error
        except BaseException:
            await self.aclose()
            raise
        self._take_in(connection)

    def _take_in(self, connection: Connection) -> None:
        """What has come of the body; at its end the connection can serve others while it is being read here."""
        connection.ends_at = REST
        reader = connection.reader
        pieces = reader.take_chunks()
        if len(pieces) > MANY_PIECES:
            pieces = [b"".join(pieces)]  # chunks of two bytes would take 35 times their size
        self._chunks.extend(pieces)
        if reader.complete:
            self._connection = None
            self._keep(connection)
        else:
            self._connection = connection

    def _allow(self, connection: Connection, phase: Phase) -> None:
        """Give the server the time that it has for this."""
        seconds = self._timeouts.get(phase.name)
        connection.ends_at = REST if seconds is None else trio.current_time() + seconds
        self._watch.remind(connection.ends_at)

    def _named(self, phase: Phase, connection: Connection, error: Exception) -> httpx.TransportError:
        if connection.expired:
            return phase.late(f"{phase.name}: nothing for {self._timeouts.get(phase.name)} s", request=self._request)
        if isinstance(error, MalformedResponseError):
            return httpx.RemoteProtocolError(str(error), request=self._request)
        return phase.broken(str(error), request=self._request)

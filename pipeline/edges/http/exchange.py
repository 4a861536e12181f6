"""One exchange for httpx: a request out, the head of its response in, and its body as a stream; trouble in httpx's words."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import httpx
import trio
from attrs import frozen

from pipeline.edges.http.connect import connect_message
from pipeline.edges.http.response import MalformedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from pipeline.edges.http.connection import Connection

_TROUBLE = (OSError, UnicodeError, trio.ClosedResourceError)


@frozen
class Phase:
    """What httpx calls the troubles of one part of an exchange, and the name of its timeout."""

    name: str
    late: type[httpx.TimeoutException]
    broken: type[httpx.NetworkError]


CONNECT = Phase("connect", httpx.ConnectTimeout, httpx.ConnectError)
WRITE = Phase("write", httpx.WriteTimeout, httpx.WriteError)
READ = Phase("read", httpx.ReadTimeout, httpx.ReadError)


class Within:
    """A block that is one part of an exchange: it has so much time, and what goes wrong in it is raised in httpx's words."""

    __slots__ = ("_phase", "_scope", "_seconds")

    def __init__(self, phase: Phase, timeouts: Mapping[str, float | None]) -> None:
        self._phase = phase
        self._seconds = timeouts.get(phase.name)
        self._scope: trio.CancelScope | None = None

    def __enter__(self) -> Within:
        if self._seconds is not None:
            self._scope = trio.CancelScope(deadline=trio.current_time() + self._seconds)
            self._scope.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._scope is not None:
            self._scope.__exit__(kind, error, trace)
            if self._scope.cancelled_caught:
                raise self._phase.late(f"{self._phase.name}: nothing for {self._seconds:g} s") from None
        if isinstance(error, MalformedResponseError):
            raise httpx.RemoteProtocolError(str(error)) from error
        if isinstance(error, _TROUBLE):
            message = connect_message("the server", error) if self._phase is CONNECT else str(error)
            raise self._phase.broken(message) from error

    def again(self) -> None:
        """Something came: the time starts anew."""
        if self._scope is not None and self._seconds is not None:
            self._scope.deadline = trio.current_time() + self._seconds


class Exchange(httpx.AsyncByteStream):
    """A request and its response; as a stream, the response's body. Owns its connection until the body is whole.

    keep: takes the connection back then. Whoever stops reading earlier closes the stream, and so the connection.
    """

    def __init__(self, request: httpx.Request, head: bytes, body: bytes | None, keep: Callable[[Connection], None]) -> None:
        self._request = request
        self._head = head
        self._body = body  # None: it streams
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
        try:
            whole = await self._send(connection)
            with Within(READ, self._timeouts) as time:
                while not reader.head_complete:
                    reader.feed(await connection.receive())
                    time.again()
        except httpx.TransportError as error:
            stale = reused and self._body is not None and not reader.started and connection.never_arrived(error.__cause__ or error)
            connection.close()
            if stale:
                return False
            raise
        except BaseException:
            connection.close()
            raise
        reader.reusable = reader.reusable and whole
        self._connection = connection
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
        try:
            rest = connection.start(self._head if body is None else self._head + body)
        except OSError as error:
            raise httpx.WriteError(str(error)) from error
        if rest is not None:
            with Within(WRITE, self._timeouts):
                if not await connection.finish(rest):
                    return False
        return body is not None or await self._stream_out(connection)

    async def _stream_out(self, connection: Connection) -> bool:
        assert isinstance(self._request.stream, httpx.AsyncByteStream)
        chunked = "transfer-encoding" in self._request.headers
        async for piece in self._request.stream:
            data = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
            if piece and not await self._send_more(connection, data):
                return False
        return not chunked or await self._send_more(connection, b"0\r\n\r\n")

    async def _send_more(self, connection: Connection, data: bytes) -> bool:
        with Within(WRITE, self._timeouts):
            return await connection.send_more(data)

    async def _read_on(self, connection: Connection) -> None:
        try:
            with Within(READ, self._timeouts):
                connection.reader.feed(await connection.receive())
        except BaseException:
            await self.aclose()
            raise
        self._take_in(connection)

    def _take_in(self, connection: Connection) -> None:
        """What has come of the body; at its end the connection can serve others while it is being read here."""
        reader = connection.reader
        self._chunks.extend(reader.chunks)
        reader.chunks = []
        if reader.complete:
            self._connection = None
            self._keep(connection)

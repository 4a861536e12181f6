"""HeadraceTransport: this package's connections under `httpx.AsyncClient`, for anybody who runs on trio.

It keeps one stack of idle connections per origin: the last one used is the first one used again, and nothing is scanned.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import httpx
import trio
from attrs import frozen

from pipeline.core.urls import PORTS, BaseUrl
from pipeline.edges.http.connect import Dialer, connect_message
from pipeline.edges.http.request import TOKEN
from pipeline.edges.http.response import MalformedResponseError
from pipeline.edges.sender import Caps, TlsOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from pipeline.edges.http.connection import Connection

NO_LIMIT = 1 << 62
STREAMED = Caps(body=NO_LIMIT)  # whoever reads the stream holds the body, and decides how much of it to read
SYSTEM_TRUST = TlsOptions()
IDLE_SECONDS = 60.0  # below the 75 s after which nginx hangs up by default

T = TypeVar("T")
_Key = tuple[bytes, bytes, int | None]
_HEADERS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_TARGET = re.compile(rb"[\x21-\x7e]+")


@frozen
class _Phase:
    """What httpx calls the troubles of one part of an exchange."""

    name: str
    late: type[httpx.TimeoutException]
    broken: type[httpx.NetworkError]


_CONNECT = _Phase("connect", httpx.ConnectTimeout, httpx.ConnectError)
_WRITE = _Phase("write", httpx.WriteTimeout, httpx.WriteError)
_READ = _Phase("read", httpx.ReadTimeout, httpx.ReadError)


class HeadraceTransport(httpx.AsyncBaseTransport):
    """An httpx transport for trio: HTTP/1.1 over TCP, TLS or a Unix socket, about a third of httpx's own CPU per request.

        async with httpx.AsyncClient(transport=HeadraceTransport()) as client: ...

    tls: a CA or a client certificate of your own; the system's trust store otherwise. caps: what a server may send; bodies are
    streamed and without limit unless you set one. unix_socket: path to connect to, whatever the host. idle_seconds: how long a
    connection is kept without use.

    httpx's timeouts hold per step (connect, write, read), as in httpx's own transport. Redirects, cookies and content codings are
    the client's business. There is no HTTP/2 and no proxy: use httpx.AsyncHTTPTransport for these.
    """

    def __init__(
        self,
        *,
        tls: TlsOptions = SYSTEM_TRUST,
        caps: Caps = STREAMED,
        unix_socket: str | None = None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._dialer = Dialer(tls, caps, unix_socket)
        self._idle_seconds = idle_seconds
        self._idle: dict[_Key, list[Connection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response once the head has come; the body streams.

        Raises httpx.TransportError. Cancellation: the exchange is lost and its connection closed.
        """
        head = _head(request)
        body = _body(request)
        key = (request.url.raw_scheme, request.url.raw_host, request.url.port)
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        connection = self._take(key)
        if connection is not None and not await self._begin(connection, request, head, body, timeouts, reused=True):
            connection = None
        if connection is None:
            connection = await _step(_CONNECT, timeouts, self._dialer.dial(_base(key)))
            await self._begin(connection, request, head, body, timeouts, reused=False)
        reader = connection.reader
        stream = _Body(self, key, connection, timeouts)
        if reader.complete:
            stream.finish()
        return httpx.Response(reader.status, headers=reader.headers, stream=stream, extensions={"http_version": b"HTTP/1.1"})

    async def aclose(self) -> None:
        """Close the idle connections. Streams that are still being read keep theirs until they end."""
        for stack in self._idle.values():
            for connection in stack:
                connection.close()
        self._idle.clear()

    def keep(self, key: _Key, connection: Connection) -> None:
        """Take a connection back whose response is complete."""
        if not connection.reader.reusable:
            connection.close()
            return
        now = connection.heard_at = trio.current_time()
        stack = self._idle.setdefault(key, [])
        stack.append(connection)
        if stack[0].heard_at < now - self._idle_seconds:
            stack.pop(0).close()

    def _take(self, key: _Key) -> Connection | None:
        stack = self._idle.get(key)
        while stack:
            connection = stack.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        return None

    async def _begin(
        self,
        connection: Connection,
        request: httpx.Request,
        head: bytes,
        body: bytes | None,
        timeouts: Mapping[str, float | None],
        *,
        reused: bool,
    ) -> bool:
        """Send the request and read the head of its response; False if it is certain that nobody got the request."""
        reader = connection.reader
        reader.begin(without_body=request.method == "HEAD")
        try:
            whole = await self._send(connection, request, head, body, timeouts)
            while not reader.head_complete:
                await _step(_READ, timeouts, _read_on(connection))
        except httpx.TransportError as error:
            stale = reused and body is not None and not reader.started and connection.never_arrived(_root(error))
            connection.close()
            if stale:
                return False
            raise
        except BaseException:
            connection.close()
            raise
        reader.reusable = reader.reusable and whole
        return True

    @staticmethod
    async def _send(
        connection: Connection, request: httpx.Request, head: bytes, body: bytes | None, timeouts: Mapping[str, float | None]
    ) -> bool:
        """Whether the server took the whole request. Raises httpx.WriteError if nothing of it has left."""
        try:
            rest = connection.start(head if body is None else head + body)
        except OSError as error:
            raise httpx.WriteError(str(error)) from error
        if rest is not None and not await _step(_WRITE, timeouts, connection.finish(rest)):
            return False
        return body is not None or await _step(_WRITE, timeouts, _stream_out(connection, request))


class _Body(httpx.AsyncByteStream):
    """A response's body as it comes. Gives the connection back at its end, or closes it when nobody wants the rest."""

    def __init__(self, transport: HeadraceTransport, key: _Key, connection: Connection, timeouts: Mapping[str, float | None]) -> None:
        self._transport = transport
        self._key = key
        self._connection: Connection | None = connection
        self._timeouts = timeouts
        self._chunks: deque[bytes] = deque()

    def finish(self) -> None:
        """The response is complete: its connection can serve others while its body is being read."""
        assert self._connection is not None
        self._chunks.extend(self._connection.reader.chunks)
        self._transport.keep(self._key, self._connection)
        self._connection = None

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        # No generator: one that is left half-way (httpx does, when a body does not decode) makes trio complain.
        while not self._chunks:
            if self._connection is None:
                raise StopAsyncIteration
            await self._advance(self._connection)
        return self._chunks.popleft()

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _advance(self, connection: Connection) -> None:
        reader = connection.reader
        if not reader.complete and not reader.chunks:
            try:
                await _step(_READ, self._timeouts, _read_on(connection))
            except BaseException:
                await self.aclose()
                raise
        if reader.complete:
            self.finish()
        else:
            self._chunks.extend(reader.chunks)
            reader.chunks.clear()


async def _step(phase: _Phase, timeouts: Mapping[str, float | None], work: Awaitable[T]) -> T:
    """Do one part of an exchange within its time, and say in httpx's words what went wrong."""
    seconds = timeouts.get(phase.name)
    try:
        if seconds is None:
            return await work
        with trio.CancelScope(deadline=trio.current_time() + seconds):
            return await work
    except MalformedResponseError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except (OSError, UnicodeError, trio.ClosedResourceError) as error:
        message = connect_message("the server", error) if phase is _CONNECT else str(error)
        raise phase.broken(message) from error
    raise phase.late(f"{phase.name}: nothing for {seconds:g} s")


async def _read_on(connection: Connection) -> None:
    data = await connection.receive()
    if data:
        connection.reader.feed(data)
    else:
        connection.reader.feed_end()


async def _stream_out(connection: Connection, request: httpx.Request) -> bool:
    """Send a body piece by piece; False if the server closed before it had all of it."""
    assert isinstance(request.stream, httpx.AsyncByteStream)
    chunked = "transfer-encoding" in request.headers
    async for piece in request.stream:
        data = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
        if piece and not await connection.send_more(data):
            return False
    return not chunked or await connection.send_more(b"0\r\n\r\n")


def _root(error: httpx.TransportError) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, Exception) else error


def _head(request: httpx.Request) -> bytes:
    """The head as bytes. Raises httpx.LocalProtocolError for what could end a line where nobody meant it."""
    headers = request.headers.raw
    lines = b"".join([b"%s: %s\r\n" % header for header in headers])
    target = request.url.raw_path
    # As many line ends as headers: a value that brings its own does not pass for a header more.
    if lines.count(b"\n") != len(headers) or not _HEADERS.fullmatch(lines):
        raise httpx.LocalProtocolError("a header holds what no header may hold", request=request)
    if not (TOKEN.fullmatch(request.method) and _TARGET.fullmatch(target)) or request.method == "CONNECT":
        raise httpx.LocalProtocolError(f"cannot be sent: {request.method!r} {target!r}", request=request)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (request.method.encode(), target, lines)


def _body(request: httpx.Request) -> bytes | None:
    """The body where it is known, or None for one that streams."""
    try:
        return None if "transfer-encoding" in request.headers else request.content
    except httpx.RequestNotRead:
        return None


def _base(key: _Key) -> BaseUrl:
    scheme, host, port = key
    name = scheme.decode()
    if name not in PORTS:
        raise httpx.UnsupportedProtocol(f"a url must start with http:// or https://, got {name!r}")
    return BaseUrl(name, host.decode(), port or PORTS[name])

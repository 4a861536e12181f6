"""HeadraceTransport: this package's connections under `httpx.AsyncClient`, for anybody who runs on trio.

It keeps one stack of idle connections per origin: the last one used is the first one used again, and nothing is scanned.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING

import httpx
import trio

from pipeline.core.rows.headers import TOKEN
from pipeline.core.rows.urls import PORTS, BaseUrl
from pipeline.edges.http.causes import connect_cause, connect_message
from pipeline.edges.http.client.exchange import Exchange
from pipeline.edges.http.connect import Dialer
from pipeline.edges.http.endpoint import Caps, TlsOptions
from pipeline.edges.http.watch import Watch

if TYPE_CHECKING:
    from pipeline.edges.http.connection import Connection

NO_LIMIT = 1 << 62
STREAMED = Caps(body=NO_LIMIT)  # the reader of the stream holds the body, and decides how much of it to read
SYSTEM_TRUST = TlsOptions()
IDLE_SECONDS = 60.0  # below the 75 s after which nginx hangs up by default

_Key = tuple[bytes, bytes, int | None]
_EXTENSIONS = {"http_version": b"HTTP/1.1"}
_HEADERS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_DIGITS = re.compile(r"[0-9]{1,18}")
_TARGET = re.compile(rb"[\x21-\x7e]+")


class HeadraceTransport(httpx.AsyncBaseTransport):
    """An httpx transport for trio: HTTP/1.1 over TCP, TLS or a Unix socket, about a third of httpx's own CPU per request.

        async with httpx.AsyncClient(transport=HeadraceTransport()) as client: ...

    tls: a CA or a client certificate of your own; the system's trust store otherwise. caps: what a server may send; bodies are
    streamed and without limit unless you set one. unix_socket: path to connect to, whatever the host. idle_seconds: how long a
    connection is kept without use.

    httpx's timeouts hold per step (connect, write, read), as in httpx's own transport. Redirects, cookies and content codings are
    the client's business. There is no HTTP/2 and no proxy: use httpx.AsyncHTTPTransport for these. Of the extensions of a request
    only `timeout` counts: `trace`, `sni_hostname` and `target` are passed over. A response has `http_version` alone, and no
    `network_stream`. It runs on trio alone; under asyncio a request raises RuntimeError.
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
        self._watch = Watch()
        self._token: trio.lowlevel.TrioToken | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response once the head has come; the body streams.

        Raises httpx.TransportError; TypeError for a request of another library, RuntimeError where trio does not run.
        Cancellation: the exchange is lost and its connection closed.
        """
        _see_that_it_can_be_served(request)
        key = (request.url.raw_scheme, request.url.raw_host, request.url.port)
        body = _body(request)
        _see_that_length_is_right(request, body)
        exchange = Exchange(request, _head(request), body, self._watching(), partial(self._keep, key))
        connection = self._take(key)
        if connection is None or not await exchange.begin(connection, reused=True):
            connection = await self._open(key, request)
            await exchange.begin(connection, reused=False)
        reader = connection.reader
        return httpx.Response(reader.status, headers=reader.headers, stream=exchange, extensions=_EXTENSIONS)

    async def aclose(self) -> None:
        """Close every connection; a body that is still being read ends with httpx.ReadError."""
        self._idle.clear()
        if self._token is not None:  # else nothing was ever asked, perhaps because trio does not run here
            self._token = None
            self._watch.close()

    def _keep(self, key: _Key, connection: Connection) -> None:
        if not connection.reader.reusable or connection.expired:
            connection.close()
            return
        now = connection.heard_at = trio.current_time()
        stack = self._idle.setdefault(key, [])
        stack.append(connection)
        if stack[0].heard_at < now - self._idle_seconds:
            stack.pop(0).close()

    def _watching(self) -> Watch:
        """The watch, at work. Its task is a system task, for httpx gives a transport no nursery: it ends with `aclose`, or the run."""
        token = trio.lowlevel.current_trio_token()
        if token is not self._token:
            self._idle.clear()
            self._watch.close()  # it was another run's
            self._watch = Watch()
            self._token = token
            trio.lowlevel.spawn_system_task(self._watch.run)
        return self._watch

    async def _open(self, key: _Key, request: httpx.Request) -> Connection:
        base = _base(key)
        seconds = request.extensions.get("timeout", {}).get("connect")
        try:
            with trio.CancelScope(deadline=math.inf if seconds is None else trio.current_time() + seconds):
                connection = await self._dialer.dial(base)
                self._watch.add(connection)
                return connection
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(connect_message(base.address, connect_cause(error), error), request=request) from error
        raise httpx.ConnectTimeout(f"not connected to {base.address} within {seconds} s", request=request)

    def _take(self, key: _Key) -> Connection | None:
        stack = self._idle.get(key)
        while stack:
            connection = stack.pop()
            if connection.is_fresh():
                return connection
            connection.close()
        return None


def _see_that_it_can_be_served(request: httpx.Request) -> None:
    """Refuse, in words, what would fail somewhere in the middle."""
    if not isinstance(request, httpx.Request):
        kind = type(request)
        raise TypeError(f"HeadraceTransport serves requests of httpx, got one of {kind.__module__}; use httpx.AsyncClient")
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError("HeadraceTransport runs on trio alone; under asyncio use httpx's own transport, or run this part with trio.run")


def _see_that_length_is_right(request: httpx.Request, body: bytes | None) -> None:
    """Refuse a length that is not the body's: what is behind it would be read as another request."""
    lengths, codings = request.headers.get_list("content-length"), request.headers.get_list("transfer-encoding")
    if not lengths and not codings and not body:
        return
    if bool(lengths) == bool(codings):
        raise httpx.LocalProtocolError("a request with a body has either a content-length or a transfer-encoding", request=request)
    if codings:
        if codings != ["chunked"]:
            raise httpx.LocalProtocolError(f"transfer-encoding must be chunked, got {', '.join(codings)!r}", request=request)
        return
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
        raise httpx.LocalProtocolError(f"content-length must be one number, got {', '.join(lengths)!r}", request=request)
    if body is not None and int(lengths[0]) != len(body):
        raise httpx.LocalProtocolError(f"content-length is {lengths[0]}, and the body has {len(body)} bytes", request=request)


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

"""HttpxSender: the Sender protocol over any httpx transport: proxies, mocks, or httpx's own.

It is slower than DirectSender by a factor of about eight, and is there for what that cannot do.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import trio

from pipeline.edges.http.decoding import decode
from pipeline.edges.http.response import MalformedResponseError
from pipeline.records import Answer, FailureKind, Fault

if TYPE_CHECKING:
    import httpcore

    from pipeline.edges.http.endpoint import Endpoint
    from pipeline.edges.http.request import RequestHeads
    from pipeline.records import Job

# What happened before the whole request can have left. Everything else may have reached the provider.
_UNSENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.WriteTimeout,
)
_KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (httpx.TimeoutException, FailureKind.TIMEOUT),
    (httpx.RemoteProtocolError, FailureKind.MALFORMED_RESPONSE),
    (httpx.DecodingError, FailureKind.MALFORMED_RESPONSE),
    (httpx.TransportError, FailureKind.CONNECTION),
)


class _Whole(httpx.AsyncByteStream):
    """A body in one piece. httpx's own is a generator, which trio complains of when a broken connection leaves it half-way."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._body)


class _Once:
    """Gives one piece, if it is not empty."""

    def __init__(self, piece: bytes) -> None:
        self._left = [piece] if piece else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class HttpxSender:
    """A Sender over an httpx transport. Whoever made the transport closes it. unsent: errors before the whole request can have left."""

    unsent: tuple[type[Exception], ...] = _UNSENT

    def __init__(self, endpoint: Endpoint, heads: RequestHeads, transport: httpx.AsyncBaseTransport) -> None:
        self._heads = heads
        self._transport = transport
        self._caps = endpoint.caps
        self._total = endpoint.timeouts.total
        idle = endpoint.timeouts.idle
        self._extensions = {"timeout": {"connect": endpoint.timeouts.connect, "read": idle, "write": idle, "pool": None}}

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt. The idle deadline is the transport's; the total one is kept here.

        Cancellation: the attempt is lost; the provider may have seen the request.
        """
        request = self._request(job, client_request_id)
        with trio.CancelScope(deadline=trio.current_time() + self._total) as scope:
            try:
                return await self._exchange(request)
            except (httpx.TransportError, httpx.DecodingError) as error:
                return _fault(error, maybe_sent=not isinstance(error, self.unsent))
            except MalformedResponseError as error:
                return Fault(FailureKind.MALFORMED_RESPONSE, str(error), maybe_sent=True)
        assert scope.cancelled_caught
        message = f"no complete response within {self._total:g} s (total deadline)"
        return Fault(FailureKind.TIMEOUT, message, maybe_sent=True)

    def close(self) -> None:
        """Nothing to do: the transport is not ours."""

    def _request(self, job: Job, client_request_id: str) -> httpx.Request:
        target, headers = self._heads.parts(job.method, job.url, len(job.body), client_request_id)
        base = self._heads.base
        url = httpx.URL(scheme=base.scheme, host=base.host, port=base.port, raw_path=target)
        request = httpx.Request(job.method, url, headers=headers, content=job.body, extensions=self._extensions)
        request.stream = _Whole(job.body)
        return request

    async def _exchange(self, request: httpx.Request) -> Answer | Fault:
        response = await self._transport.handle_async_request(request)
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            body = await self._read(response)
        finally:
            spoilt = _spoilt(response)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):  # returns the connection, or closes it
                await response.aclose()
                if spoilt is not None:
                    await spoilt.aclose()
        codings = [coding.strip() for name, value in headers if name == b"content-encoding" for coding in value.lower().split(b",")]
        return Answer(response.status_code, headers, decode(body, codings, self._caps.body) if codings else body)

    async def _read(self, response: httpx.Response) -> bytes:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        pieces: list[bytes] = []
        size = 0
        source = aiter(response.stream)
        try:
            async for piece in source:
                pieces.append(piece)
                size += len(piece)
                if size > self._caps.body:
                    raise MalformedResponseError(f"a body of more than {self._caps.body} bytes")
        finally:
            if isinstance(source, AsyncGenerator):
                await source.aclose()  # else trio complains of a generator left half-way
        return b"".join(pieces)


def _spoilt(response: httpx.Response) -> httpcore.AsyncConnectionInterface | None:
    """The connection, if it holds bytes behind the response that nobody asked for.

    httpcore would take them for the next response: a doubled answer would become the next row's (httpcore 1.0.9,
    `_async/http11.py`). It does not show them, so this looks inside; another transport has no such inside.
    """
    connection: Any = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection"):
        connection = getattr(connection, name, None)
    state = getattr(connection, "_h11_state", None)
    return connection if state is not None and state.trailing_data[0] else None


def _fault(error: httpx.TransportError | httpx.DecodingError, *, maybe_sent: bool) -> Fault:
    kind = next(kind for family, kind in _KINDS if isinstance(error, family))
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Fault(kind, message, maybe_sent=maybe_sent)

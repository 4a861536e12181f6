"""HttpxSender: the Sender protocol over any httpx transport: proxies, mocks, or httpx's own.

It is slower than DirectSender by a factor of about eight, and is there for what that cannot do.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import trio

from pipeline.core.answers.stream_starts import may_stream, open_streamed_body
from pipeline.edges.http.body import Body
from pipeline.edges.http.causes import NOT_LEFT, connect_cause, connect_message
from pipeline.edges.http.over_httpx_reuse import behind
from pipeline.edges.http.pairing import out_of_step
from pipeline.edges.http.receiving import StreamDeadlines
from pipeline.edges.http.redirects import FOLLOWED, MAX_HOPS, follow
from pipeline.edges.http.response import MalformedResponseError
from pipeline.light import InTask, in_task
from pipeline.records import Answer, FailureKind, Fault, FaultCause

if TYPE_CHECKING:
    from pipeline.edges.http.endpoint import Endpoint
    from pipeline.edges.http.memory import AnswerMemory
    from pipeline.edges.http.over_httpx_reuse import ReusedConnection
    from pipeline.edges.http.proxies import Proxy
    from pipeline.edges.http.request import RequestHeads
    from pipeline.ports import Departure, OpenConsumer, StreamConsumer
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
_KINDS: tuple[tuple[type[Exception], FailureKind, FaultCause], ...] = (
    (httpx.ConnectTimeout, FailureKind.TIMEOUT, FaultCause.CONNECT_TIMEOUT),
    (httpx.PoolTimeout, FailureKind.TIMEOUT, FaultCause.CONNECT_TIMEOUT),
    (httpx.TimeoutException, FailureKind.TIMEOUT, FaultCause.IDLE_TIMEOUT),
    (httpx.RemoteProtocolError, FailureKind.MALFORMED_RESPONSE, FaultCause.PROTOCOL),
    (httpx.DecodingError, FailureKind.MALFORMED_RESPONSE, FaultCause.PROTOCOL),
    (httpx.ProxyError, FailureKind.CONNECTION, FaultCause.PROXY),
    (httpx.ConnectError, FailureKind.CONNECTION, FaultCause.UNREACHABLE),  # the exceptions behind it know better
    (httpx.TransportError, FailureKind.CONNECTION, FaultCause.CLOSED),
)
_OF_THE_PROXY = frozenset((FaultCause.REFUSED, FaultCause.UNREACHABLE, FaultCause.DNS))
_CLOSED = re.compile(r"disconnected|closed connection").search  # how httpcore and h11 say it
PROXY_AUTH = 407


class _NotLeftError(Exception):
    """The request must not leave."""


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
    """A Sender over an httpx transport. The code that made the transport closes it.

    proxy: the one that the transport goes through, for messages. reused: the transport's connection, where no other sender uses it.
    unsent: errors before the whole request can have left.
    """

    unsent: tuple[type[Exception], ...] = _UNSENT

    def __init__(
        self,
        endpoint: Endpoint,
        heads: RequestHeads,
        transport: httpx.AsyncBaseTransport,
        memory: AnswerMemory,
        proxy: Proxy | None = None,
        reused: ReusedConnection | None = None,
        open_stream: OpenConsumer = open_streamed_body,
    ) -> None:
        self._address = heads.address
        self._memory = memory
        self._held: Body | None = None  # counts the last answer's body
        self._proxy = proxy
        self._reused = reused
        self._heads = heads
        self._transport = transport
        self._caps = endpoint.caps
        self._total = endpoint.timeouts.total
        self._open_stream = open_stream
        self._deadlines = StreamDeadlines(endpoint.timeouts)
        self._ends_at = math.inf  # clock; total deadline of the attempt
        idle = endpoint.timeouts.idle
        self._departure: Departure | None = None
        self._extensions: dict[str, Any] = {"timeout": {"connect": endpoint.timeouts.connect, "read": idle, "write": idle, "pool": None}}

    def ask_before(self, departure: Departure) -> None:
        """See `AskingSender`. httpcore says when a request leaves; a transport that says nothing is not asked about."""
        self._departure = departure
        self._extensions["trace"] = self._trace

    async def _trace(self, what: str, info: dict[str, Any]) -> None:
        leaves = what.endswith("send_request_headers.started") and info["request"].method != b"CONNECT"
        if leaves and self._departure is not None and not await in_task(self._departure.may_leave()):
            raise _NotLeftError

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt, for a light task; httpx needs a task of trio's for each."""
        if self._departure is not None:
            self._departure.delays()
        return await InTask(self.send, job, client_request_id)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt. The idle deadline is the transport's; the total one is kept here.

        A fault takes the connection with it: after a TLS handshake that broke behind a proxy, httpcore 1.0 neither uses nor closes it,
        and each later request would wait for a free place in its pool.
        Cancellation: the attempt is lost; the provider may have seen the request.
        """
        reply = await self._send(job, client_request_id)
        if isinstance(reply, Fault) and self._reused is not None:
            await self._reused.renew()
        return reply

    async def _send(self, job: Job, client_request_id: str) -> Answer | Fault:
        now = trio.current_time()
        deadlines, self._ends_at = self._deadlines, now + self._total
        deadlines.begin(now, asked=job.streams)
        with trio.CancelScope(deadline=min(self._ends_at, deadlines.nearest()) if job.streams else self._ends_at) as scope:
            try:
                return await self._attempt(job, client_request_id, scope)
            except (httpx.TransportError, httpx.DecodingError) as error:
                return self._fault(error)
            except _NotLeftError:
                return NOT_LEFT
            except MalformedResponseError as error:
                return Fault(FailureKind.MALFORMED_RESPONSE, str(error), maybe_sent=True, cause=error.cause)
        assert scope.cancelled_caught
        if scope.deadline < self._ends_at:
            return Fault(FailureKind.TIMEOUT, deadlines.passed(self._address), maybe_sent=True, cause=FaultCause.STALL_TIMEOUT)
        message = f"no complete response from {self._address} within {self._total:g} s (total deadline)"
        return Fault(FailureKind.TIMEOUT, message, maybe_sent=True, cause=FaultCause.TOTAL_TIMEOUT)

    async def _attempt(self, job: Job, client_request_id: str, scope: trio.CancelScope, hops: int = 0) -> Answer | Fault:
        """One exchange, and one more for every redirect on the same origin."""
        asked_at = trio.current_time() if self._reused is None else await self._reused.prepare(job.custom_id)
        reply = await self._exchange(self._request(job, client_request_id), scope, client_request_id, asked_at)
        if isinstance(reply, Fault) or reply.status not in FOLLOWED or hops >= MAX_HOPS:
            return reply
        moved = follow(job, reply, self._heads)
        return reply if moved is None else await self._attempt(moved, client_request_id, scope, hops + 1)

    def release(self) -> None:
        """The last answer is no longer in memory. Calling it again does no harm."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def close(self) -> None:
        """The transport is not ours."""
        self.release()

    def _request(self, job: Job, client_request_id: str) -> httpx.Request:
        target, headers = self._heads.parts(job.method, job.url, len(job.body), client_request_id, streams=job.streams)
        base = self._heads.base
        url = httpx.URL(scheme=base.scheme, host=base.host, port=base.port, raw_path=target)
        request = httpx.Request(job.method, url, headers=headers, content=job.body, extensions=self._extensions)
        request.stream = _Whole(job.body)
        return request

    async def _exchange(self, request: httpx.Request, scope: trio.CancelScope, client_request_id: str, asked_at: float) -> Answer | Fault:
        response = await self._transport.handle_async_request(request)
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            content, stream = await self._read(response, headers, scope)
        finally:
            connection, surplus = behind(response)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):  # returns the connection, or closes it
                if self._reused is not None and not surplus:
                    surplus = await self._reused.look(response)
                await response.aclose()
                if connection is not None and surplus:
                    await connection.aclose()
        if response.status_code == PROXY_AUTH and self._proxy is not None and request.url.scheme == "http":
            return _proxy_wants_credentials(self._proxy)  # through a tunnel it would be the server's own answer
        answer = Answer(response.status_code, headers, content, None, None if stream is None else stream.arrival)
        if self._reused is not None and not await self._reused.is_own(answer, client_request_id, asked_at, surplus):
            return Fault(FailureKind.MALFORMED_RESPONSE, out_of_step(self._address), maybe_sent=True, cause=FaultCause.PROTOCOL)
        return answer

    def _fault(self, error: httpx.TransportError | httpx.DecodingError) -> Fault:
        proxy = self._proxy
        if isinstance(error, httpx.ProxyError) and proxy is not None:
            if str(error).startswith(str(PROXY_AUTH)):
                return _proxy_wants_credentials(proxy)
            message = f"the proxy {proxy.address} ({proxy.variable}) did not connect us to {self._address}: {error}"
            return Fault(FailureKind.CONNECTION, message, maybe_sent=False, cause=FaultCause.PROXY)
        kind, cause = next(entry[1:] for entry in _KINDS if isinstance(error, entry[0]))
        if isinstance(error, httpx.ConnectError):
            cause, address = connect_cause(error), self._address
            if proxy is not None and cause in _OF_THE_PROXY:
                cause, address = FaultCause.PROXY, f"the proxy {proxy.address} ({proxy.variable})"
            message = connect_message(address, cause, error)
            return Fault(kind, message, maybe_sent=False, cause=cause, permanent=cause is FaultCause.TLS)
        if isinstance(error, httpx.RemoteProtocolError) and _CLOSED(str(error)):
            cause = FaultCause.CLOSED
        name = type(error).__name__
        message = f"{self._address}: {name}: {error}" if str(error) else f"{self._address}: {name}"
        return Fault(kind, message, maybe_sent=not isinstance(error, self.unsent), cause=cause)

    async def _read(
        self, response: httpx.Response, headers: list[tuple[bytes, bytes]], scope: trio.CancelScope
    ) -> tuple[bytes, StreamConsumer | None]:
        """The body, decoded, and who took it if it is a stream. scope: ends at the next deadline; none runs while memory is full."""
        assert isinstance(response.stream, httpx.AsyncByteStream)
        codings = [coding.strip() for name, value in headers if name == b"content-encoding" for coding in value.lower().split(b",")]

        async def wait(body: Body) -> None:
            began, deadline = trio.current_time(), scope.deadline
            scope.deadline = math.inf
            await self._memory.wait(body)
            waited = trio.current_time() - began
            self._ends_at += waited
            scope.deadline = deadline + waited
            if self._reused is not None:
                self._reused.note_wait(waited)

        self.release()  # else this body might wait for the last one
        streams = may_stream(response.status_code, headers)
        body = Body(
            codings,
            self._caps.body,
            self._memory,
            wait=wait,
            streams=streams,
            streams_from=self._deadlines.waits_from,
            open_stream=self._open_stream,
        )
        size = 0
        source = aiter(response.stream)
        try:
            async for piece in source:
                size += len(piece)
                if size > self._caps.body:
                    raise MalformedResponseError(f"a body of more than {self._caps.body} bytes", FaultCause.TOO_LARGE)
                await body.take([piece])
                if body.stream is not None and self._deadlines.any:
                    self._deadlines.stream = body.stream
                    scope.deadline = min(self._ends_at, self._deadlines.nearest())
            content = await body.finish()
            self._held = body
            return content, body.stream
        finally:
            if self._held is not body:
                body.close()
            if isinstance(source, AsyncGenerator):
                await source.aclose()  # else trio complains of a generator left half-way


def _proxy_wants_credentials(proxy: Proxy) -> Fault:
    message = (
        f"the proxy {proxy.address} wants credentials, or other ones (HTTP 407):"
        f" put them into {proxy.variable}, as http://USER:PASSWORD@{proxy.address}"
    )
    return Fault(FailureKind.CONNECTION, message, maybe_sent=False, cause=FaultCause.PROXY_AUTH)

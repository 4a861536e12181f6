"""TLS: what comes with something else in one packet, and what is still to be said when a request does not leave."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import pytest
import trio

from pipeline.edges.http import Counts, open_senders
from pipeline.edges.http.endpoint import Endpoint, Timeouts, TlsOptions
from pipeline.light import InTask, ask_before, in_task
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Job
from tests.fakes.servers import OK_BODY, WHOLE, Authority, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from pipeline.ports import LightSender, Sender

pytestmark = pytest.mark.usefixtures("any_readiness")

JOB = Job(0, "row-0", "POST", "/v1/chat/completions", b'{"model": "m"}', 1, 1)
PATIENT = Timeouts(connect=5, idle=5, total=10)
OTHER = WHOLE.replace(b"ok", b"no")


class Wire:
    """The server's end of a connection, which says itself what goes into which record and which packet."""

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self._come, self._leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._come, self._leaves, server_side=True)

    async def shake(self, behind: bytes = b"") -> None:
        """The handshake; behind: said with its end, before anything was asked."""
        await self._retry(self.tls.do_handshake, behind)

    async def hello(self) -> None:
        """Our part of the handshake, as far as it goes before the client's end of it."""
        self._come.write(await self.stream.receive_some())
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        await self.stream.send_all(self._leaves.read())

    async def request(self) -> bytes:
        """What the client sent next."""
        return await self._retry(lambda: self.tls.read(65536))

    async def records(self, *texts: bytes) -> None:
        """Send each text as a record, all in one packet."""
        for text in texts:
            self.tls.write(text)
        await self.stream.send_all(self._leaves.read())

    async def _retry(self, step: Callable[[], bytes | None], behind: bytes = b"") -> bytes:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self.stream.send_all(self._leaves.read())
                self._come.write(await self.stream.receive_some())
            else:
                if behind:
                    self.tls.write(behind)
                if self._leaves.pending:
                    await self.stream.send_all(self._leaves.read())
                return done or b""


@asynccontextmanager
async def sending_to(
    handle: Callable[[trio.SocketStream], Awaitable[None]], tls: TlsOptions, *, counts: Counts | None = None
) -> AsyncIterator[Sender]:
    """A sender to a server that handles its connections so."""
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, handle)
        endpoint = Endpoint(f"https://localhost:{port}", timeouts=PATIENT, tls=tls)
        async with open_senders(endpoint, counts=counts) as open_sender:
            sender = open_sender()
            yield sender
            sender.close()
        nursery.cancel_scope.cancel()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(str(tmp_path / "ca.pem"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_answer_nobody_asked_for_in_a_record_of_its_own_reaches_no_row(authority: Authority, version: ssl.TLSVersion) -> None:
    """Both records come in one packet, so the socket is empty when the next request is to leave."""
    context = authority.server_context("localhost")
    context.minimum_version = context.maximum_version = version
    accepted = 0

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        wire = Wire(stream, context)
        await wire.shake()
        while await wire.request():
            await wire.records(WHOLE, OTHER)

    async with sending_to(handle, TlsOptions(authority.path)) as sender:
        replies = [await sender.send(JOB, "i") for _ in range(3)]

    assert [reply.body for reply in replies if isinstance(reply, Answer)] == [OK_BODY] * 3
    assert accepted == 3


async def test_goodbye_in_the_packet_of_the_answer_is_found_before_the_next_request(authority: Authority) -> None:
    """The end of the TCP connection may come later, or never."""
    context = authority.server_context("localhost")
    asked: list[int] = []

    async def handle(stream: trio.SocketStream) -> None:
        number = len(asked)
        asked.append(0)
        wire = Wire(stream, context)
        await wire.shake()
        while await wire.request():
            asked[number] += 1
            wire.tls.write(WHOLE)
            with suppress(ssl.SSLWantReadError):
                wire.tls.unwrap()
            await wire.records()

    counts = Counts()
    async with sending_to(handle, TlsOptions(authority.path), counts=counts) as sender:
        replies = [await sender.send(JOB, "i") for _ in range(3)]

    assert [reply.body for reply in replies if isinstance(reply, Answer)] == [OK_BODY] * 3
    assert asked == [1, 1, 1]
    assert counts.stale == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_what_came_with_the_end_of_the_handshake_is_read_at_once(authority: Authority, version: ssl.TLSVersion) -> None:
    """A server that turns everybody away may say so before it is asked, and then wait for us to close."""
    context = authority.server_context("localhost")
    context.minimum_version = context.maximum_version = version
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

    async def handle(stream: trio.SocketStream) -> None:
        wire = Wire(stream, context)
        await wire.shake(busy)
        await trio.sleep_forever()

    async with sending_to(handle, TlsOptions(authority.path)) as sender:
        reply = await sender.send(JOB, "i")

    assert isinstance(reply, Answer)
    assert reply.status == 503


class Refusing:
    """A `Departure` that lets nothing leave, once the server has gone."""

    def __init__(self, gone: trio.Event) -> None:
        self._gone = gone

    def delays(self) -> None:
        pass

    async def may_leave(self) -> bool:
        await InTask(self._gone.wait)
        return False


async def test_request_that_may_not_leave_is_no_error_where_the_server_has_gone(authority: Authority) -> None:
    """What is left of the handshake cannot be sent then."""
    context, gone = authority.server_context("localhost"), trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        wire = Wire(stream, context)
        await wire.hello()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
        gone.set()

    counts = Counts()
    async with sending_to(handle, TlsOptions(authority.path), counts=counts) as sender:
        ask_before(sender, Refusing(gone))
        reply = await in_task(cast("LightSender", sender).attempt(JOB, "i"))
        dropped = counts.dropped

    assert isinstance(reply, Fault)
    assert (reply.cause, reply.maybe_sent) == (FaultCause.NOT_LEFT, False)
    assert dropped == 1


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_request_behind_a_handshake_that_the_server_refuses_was_not_sent(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion, *, shown: bool
) -> None:
    """In TLS 1.3 our certificate, or that we have none, reaches the server with the first request, which nobody reads then."""
    context = authority.server_context("localhost", ask_for_client=True)
    context.minimum_version = context.maximum_version = version
    ours = Authority(str(tmp_path / "other.pem")).client_certificate(str(tmp_path / "client.pem")) if shown else None

    async def handle(stream: trio.SocketStream) -> None:
        wire = Wire(stream, context)
        with suppress(ssl.SSLError):
            await wire.shake()
        await wire.records()  # what is wrong with the certificate
        await stream.aclose()

    async with sending_to(handle, TlsOptions(authority.path, ours)) as sender:
        fault = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.cause) == (FailureKind.CONNECTION, False, FaultCause.TLS_OTHER)
    assert "the TLS handshake failed" in fault.message
    assert "alert" in fault.message

"""TLS: whom we trust, what we show, and how a connection ends."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
import trio.testing

from pipeline.edges.http import Counts, open_senders
from pipeline.edges.http.client.transport import HeadraceTransport
from pipeline.edges.http.endpoint import Endpoint, Timeouts, TlsOptions
from pipeline.edges.http.sessions import MOST_FRUITLESS
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Job
from tests.fakes.servers import OK_BODY, WHOLE, Authority, Peer, Request, answering, answering_and_closing, listen, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("any_readiness")

JOB = Job(0, "row-0", "POST", "/v1/chat/completions", b'{"model": "m"}', 1, 1)
PATIENT = Timeouts(connect=5, idle=5, total=10)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(str(tmp_path / "ca.pem"))


async def send_twice(port: int, options: TlsOptions, *, host: str = "localhost", counts: Counts | None = None) -> list[Answer | Fault]:
    async with open_senders(Endpoint(f"https://{host}:{port}", timeouts=PATIENT, tls=options), counts=counts) as open_sender:
        sender = open_sender()
        replies = [await sender.send(JOB, "i") for _ in range(2)]
        sender.close()
        return replies


async def test_one_connection_serves_many_requests_over_tls(authority: Authority) -> None:
    body = b"x" * 400_000
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n" + body

    async with serve(answering(large), tls=authority.server_context("localhost")) as server:
        replies = await send_twice(server.port, TlsOptions(authority.path))

    assert [reply.body for reply in replies if isinstance(reply, Answer)] == [body, body]
    assert server.accepted == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_request_arrives_whole_over_tls(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.server_context("localhost")
    context.minimum_version = context.maximum_version = version
    job = Job(0, "row-0", "POST", "/x", b"x" * 3_000_000, 1, 1)

    async with serve(answering(WHOLE), tls=context) as server:
        async with open_senders(Endpoint(f"https://localhost:{server.port}", tls=TlsOptions(authority.path))) as open_sender:
            sender = open_sender()
            answers = [await sender.send(job, "i") for _ in range(3)]
            sender.close()

    assert all(isinstance(answer, Answer) for answer in answers)
    assert [request.body for request in server.requests] == [job.body] * 3
    assert server.accepted == 1


async def test_certificate_of_an_unknown_authority_is_refused_for_good(authority: Authority) -> None:
    async with serve(answering(WHOLE), tls=authority.server_context("localhost")) as server:
        faults = await send_twice(server.port, TlsOptions())

    for fault in faults:
        assert isinstance(fault, Fault)
        assert (fault.kind, fault.maybe_sent, fault.permanent) == (FailureKind.CONNECTION, False, True)
        assert fault.cause is FaultCause.TLS
        assert "certificate" in fault.message
        assert "provider.tls.ca" in fault.message
    assert server.requests == []


async def test_certificate_for_another_name_is_refused_for_good(authority: Authority) -> None:
    async with serve(answering(WHOLE), tls=authority.server_context("elsewhere.example")) as server:
        [fault, _] = await send_twice(server.port, TlsOptions(authority.path))

    assert isinstance(fault, Fault)
    assert fault.permanent
    assert "localhost" in fault.message
    assert server.requests == []


async def test_certificate_may_be_for_an_address(authority: Authority) -> None:
    async with serve(answering(WHOLE), tls=authority.server_context("127.0.0.1")) as server:
        replies = await send_twice(server.port, TlsOptions(authority.path), host="127.0.0.1")

    assert all(isinstance(reply, Answer) for reply in replies)


async def test_server_is_told_which_name_and_protocol_we_want(authority: Authority) -> None:
    context = authority.server_context("localhost")
    names: list[str | None] = []
    context.sni_callback = lambda tls, name, _: names.append(name)
    protocols: list[str | None] = []

    async def script(peer: Peer, request: Request) -> None:
        assert isinstance(peer.stream, trio.SSLStream)
        protocols.append(peer.stream.selected_alpn_protocol())
        await peer.send(WHOLE)

    async with serve(script, tls=context) as server:
        await send_twice(server.port, TlsOptions(authority.path))

    assert names == ["localhost"]
    assert protocols == ["http/1.1"] * 2


async def test_client_certificate_is_shown_where_one_is_asked_for(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.client_certificate(str(tmp_path / "client.pem"))
    context = authority.server_context("localhost", ask_for_client=True)

    async with serve(answering(WHOLE), tls=context) as server:
        replies = await send_twice(server.port, TlsOptions(authority.path, certificate))

    assert all(isinstance(reply, Answer) for reply in replies)


async def test_plain_server_on_a_tls_address_is_a_fault() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, handle)
        [fault, _] = await send_twice(port, TlsOptions())
        nursery.cancel_scope.cancel()

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.permanent) == (FailureKind.CONNECTION, False, False)
    assert fault.cause is FaultCause.TLS_OTHER
    assert "is https:// in provider.base_url right?" in fault.message


async def test_tls_server_on_a_plain_address_is_a_fault(authority: Authority) -> None:
    async with serve(answering(WHOLE), tls=authority.server_context("localhost")) as server:
        async with open_senders(Endpoint(server.url, timeouts=PATIENT)) as open_sender:
            sender = open_sender()
            fault = await sender.send(JOB, "i")
            sender.close()

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.permanent) == (FailureKind.CONNECTION, FaultCause.CLOSED, False)
    assert "closed the connection without an answer" in fault.message


async def test_body_that_ends_with_the_connection_needs_a_goodbye(authority: Authority) -> None:
    """Without one, anybody on the way could cut it."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"

    async def polite(peer: Peer, request: Request) -> None:
        await peer.send(head + OK_BODY)
        await peer.stream.aclose()

    context = authority.server_context("localhost")
    async with serve(polite, tls=context) as server:
        [whole, _] = await send_twice(server.port, TlsOptions(authority.path))
    async with serve(answering_and_closing(head + OK_BODY), tls=context) as server:
        [cut, _] = await send_twice(server.port, TlsOptions(authority.path))

    assert isinstance(whole, Answer)
    assert whole.body == OK_BODY
    assert isinstance(cut, Fault)


@pytest.mark.parametrize("goodbye", [True, False])
async def test_connection_closed_at_rest_is_replaced_without_loss_over_tls(authority: Authority, *, goodbye: bool) -> None:
    gone = trio.Event()

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(WHOLE)
        if peer.number == 0:
            await (peer.stream.aclose() if goodbye else peer.close())
            gone.set()

    counts = Counts()
    async with serve(script, tls=authority.server_context("localhost")) as server:
        async with open_senders(Endpoint(f"https://localhost:{server.port}", tls=TlsOptions(authority.path)), counts=counts) as open_sender:
            sender = open_sender()
            await sender.send(JOB, "i")
            await gone.wait()
            answer = await sender.send(JOB, "i")
            sender.close()

    assert isinstance(answer, Answer)
    assert (server.accepted, len(server.requests), counts.stale) == (2, 2, 1)


async def test_httpx_client_streams_over_tls(authority: Authority) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(chunked, b"1\r\nc\r\n", b"0\r\n\r\n")

    async with serve(script, tls=authority.server_context("localhost")) as server:
        async with httpx.AsyncClient(transport=HeadraceTransport(tls=TlsOptions(authority.path))) as client:
            for _ in range(2):
                async with client.stream("GET", f"https://localhost:{server.port}/") as response:
                    assert b"".join([piece async for piece in response.aiter_raw()]) == b"abc"

    assert server.accepted == 1


async def test_httpx_client_hears_of_a_bad_certificate(authority: Authority) -> None:
    async with serve(answering(WHOLE), tls=authority.server_context("localhost")) as server:
        async with httpx.AsyncClient(transport=HeadraceTransport()) as client:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await client.get(f"https://localhost:{server.port}/")


def reusing(seen: list[bool]) -> Callable[[Peer, Request], Awaitable[None]]:
    """A script that notes whether each connection resumes a session, and takes one request on each."""

    async def script(peer: Peer, request: Request) -> None:
        assert isinstance(peer.stream, trio.SSLStream)
        seen.append(peer.stream.session_reused)
        await peer.send(WHOLE.replace(b"content-type", b"connection: close\r\ncontent-type"))

    return script


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_later_connection_resumes_the_session_of_an_earlier_one(authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.server_context("localhost")
    context.minimum_version = context.maximum_version = version
    seen: list[bool] = []

    async with serve(reusing(seen), tls=context) as server:
        replies = [*await send_twice(server.port, TlsOptions(authority.path)), *await send_twice(server.port, TlsOptions(authority.path))]

    assert all(isinstance(reply, Answer) for reply in replies)
    assert seen == [False, True] * 2  # each run begins with a handshake of its own


async def test_session_is_known_before_the_first_answer(authority: Authority) -> None:
    """An answer takes seconds, and many connections begin meanwhile. Most servers give tickets at once, unlike trio's `SSLStream`."""
    context = authority.server_context("localhost")
    seen: list[bool] = []
    asked = trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        come, leaves = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(come, leaves, server_side=True)

        async def retry(step: Callable[[], object]) -> None:
            while True:
                try:
                    step()
                except ssl.SSLWantReadError:
                    await stream.send_all(leaves.read())
                    come.write(await stream.receive_some())
                else:
                    await stream.send_all(leaves.read())
                    return

        await retry(tls.do_handshake)
        await retry(tls.read)
        seen.append(bool(tls.session_reused))
        if len(seen) == 1:
            asked.set()
            await trio.sleep_forever()
        tls.write(WHOLE)
        await stream.send_all(leaves.read())

    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, handle)
        async with open_senders(Endpoint(f"https://localhost:{port}", tls=TlsOptions(authority.path))) as open_sender:
            first, second = open_sender(), open_sender()
            nursery.start_soon(first.send, JOB, "i")
            await asked.wait()
            await trio.testing.wait_all_tasks_blocked(0.01)
            await second.send(JOB, "i")
        nursery.cancel_scope.cancel()

    assert seen == [False, True]


class Looks:
    """Counts how often our side looks at a session. A look copies it with its certificate, and costs a third of a handshake."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        session: Any = vars(ssl.SSLObject)["session"]

        def look(tls: ssl.SSLObject) -> ssl.SSLSession | None:
            self.count += not tls.server_side
            found: ssl.SSLSession | None = session.fget(tls)
            return found

        monkeypatch.setattr(ssl.SSLObject, "session", property(look, session.fset))


async def test_one_session_serves_all_later_connections(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    async with serve(reusing(seen), tls=authority.server_context("localhost")) as server:
        async with open_senders(Endpoint(f"https://localhost:{server.port}", tls=TlsOptions(authority.path))) as open_sender:
            sender = open_sender()
            await sender.send(JOB, "i")
            looks = Looks(monkeypatch)
            for _ in range(5):
                await sender.send(JOB, "i")
            sender.close()

    assert seen == [False, True, True, True, True, True]
    assert looks.count == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_server_without_tickets_is_not_asked_for_sessions_for_ever(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    context = authority.server_context("localhost")
    context.minimum_version = context.maximum_version = version
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    looks = Looks(monkeypatch)

    async with serve(answering(WHOLE), tls=context) as server:
        async with open_senders(Endpoint(f"https://localhost:{server.port}", tls=TlsOptions(authority.path))) as open_sender:
            for _ in range(20):
                sender = open_sender()
                assert isinstance(await sender.send(JOB, "i"), Answer)
                assert isinstance(await sender.send(JOB, "i"), Answer)
                sender.close()

    assert looks.count <= 3 * MOST_FRUITLESS


async def test_no_session_is_resumed_where_we_show_a_certificate(authority: Authority, tmp_path: Path) -> None:
    ours = authority.client_certificate(str(tmp_path / "client.pem"))
    seen: list[bool] = []

    async with serve(reusing(seen), tls=authority.server_context("localhost", ask_for_client=True)) as server:
        replies = await send_twice(server.port, TlsOptions(authority.path, ours))

    assert all(isinstance(reply, Answer) for reply in replies)
    assert seen == [False, False]


async def test_server_that_forgot_the_session_gets_a_whole_handshake(authority: Authority) -> None:
    """As one does that was started again: its tickets were sealed with a key that is gone."""
    seen: list[bool] = []
    before, after = authority.server_context("localhost"), authority.server_context("localhost")
    contexts = iter([before, after])

    async with trio.open_nursery() as nursery:

        async def handle(stream: trio.SocketStream) -> None:
            peer = Peer(trio.SSLStream(stream, next(contexts), server_side=True), 0)
            request = await peer.request()
            assert request is not None
            await reusing(seen)(peer, request)
            await peer.close()

        port = await nursery.start(listen, handle)
        replies = await send_twice(port, TlsOptions(authority.path))
        nursery.cancel_scope.cancel()

    assert all(isinstance(reply, Answer) for reply in replies)
    assert seen == [False, False]

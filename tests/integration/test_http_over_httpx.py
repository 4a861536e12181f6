"""HttpxSender: the Sender protocol over httpx's own transport, a proxy and a mock."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from pipeline.edges.http import open_senders, senders_over
from pipeline.edges.http.endpoint import Caps, Endpoint, Timeouts, TlsOptions
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Job, Transport
from tests.fakes.servers import OK_BODY, WHOLE, Authority, Peer, Request, answering, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BODY = b'{"model": "m"}'
JOB = Job(0, "row-0", "POST", "/v1/chat/completions", BODY, 1, 1)
PATIENT = Timeouts(connect=5, idle=5, total=10)


async def test_same_request_leaves_through_either_transport() -> None:
    async with serve(answering(WHOLE)) as server:
        endpoint = Endpoint(server.url + "/v1", ("authorization", "Bearer k"), {"X-A": "1"}, PATIENT)
        for transport in Transport:
            async with open_senders(endpoint, transport=transport) as open_sender:
                sender = open_sender()
                answers = [await sender.send(JOB, "id-1") for _ in range(2)]
                sender.close()
            assert [answer.body for answer in answers if isinstance(answer, Answer)] == [OK_BODY] * 2

    first, *others = server.requests
    assert all(request == first for request in others)
    assert server.accepted == len(Transport)


async def test_httpx_transport_keeps_one_connection_per_worker() -> None:
    async with serve(answering(WHOLE)) as server, open_senders(Endpoint(server.url), transport=Transport.HTTPX) as open_sender:
        for sender in [open_sender() for _ in range(3)]:
            for _ in range(4):
                await sender.send(JOB, "i")

    assert (server.accepted, len(server.requests)) == (3, 12)


async def test_plain_proxy_gets_the_whole_url() -> None:
    async with serve(answering(WHOLE)) as proxy:
        env = {"HTTP_PROXY": proxy.url}
        async with open_senders(Endpoint("http://api.example.com/v1", timeouts=PATIENT), env=env) as open_sender:
            answer = await open_sender().send(JOB, "i")

    assert isinstance(answer, Answer)
    assert proxy.requests[0].target == "http://api.example.com/v1/chat/completions"


async def tunnel_to(port: int, peer: Peer) -> None:
    """Be the tunnel between a client and a server."""
    far = await trio.open_tcp_stream("127.0.0.1", port)
    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(pump, peer.stream, far)
        await pump(far, peer.stream)
        nursery.cancel_scope.cancel()


async def pump(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    async for data in source:
        await target.send_all(data)


async def test_tls_goes_through_a_proxy_s_tunnel(tmp_path: Path) -> None:
    authority = Authority(str(tmp_path / "ca.pem"))

    async def tunnel(peer: Peer, request: Request) -> None:
        await peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        await tunnel_to(far.port, peer)

    async with serve(answering(WHOLE), tls=authority.server_context("api.example.com")) as far, serve(tunnel) as proxy:
        endpoint = Endpoint("https://api.example.com/v1", timeouts=PATIENT, tls=TlsOptions(authority.path))
        async with open_senders(endpoint, env={"https_proxy": proxy.url}) as open_sender:
            answer = await open_sender().send(JOB, "i")

    assert isinstance(answer, Answer)
    assert (proxy.requests[0].method, proxy.requests[0].target) == ("CONNECT", "api.example.com:443")
    assert far.requests[0].headers["host"] == "api.example.com"


async def test_mock_transport_answers_in_place_of_a_server() -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            429, headers={"Retry-After": "1"}, json={"url": str(request.url), "id": request.headers["x-client-request-id"]}
        )

    sender = senders_over(Endpoint("https://api.example.com/v1"), httpx.MockTransport(handle))()
    answer = await sender.send(JOB, "id-9")
    sender.close()

    assert isinstance(answer, Answer)
    assert (answer.status, answer.header(b"retry-after")) == (429, b"1")
    assert answer.body == b'{"url":"https://api.example.com/v1/chat/completions","id":"id-9"}'


TROUBLE = {
    httpx.ConnectError("no"): (FailureKind.CONNECTION, FaultCause.UNREACHABLE, False),
    httpx.ConnectTimeout("no"): (FailureKind.TIMEOUT, FaultCause.CONNECT_TIMEOUT, False),
    httpx.PoolTimeout("no"): (FailureKind.TIMEOUT, FaultCause.CONNECT_TIMEOUT, False),
    httpx.WriteTimeout("no"): (FailureKind.TIMEOUT, FaultCause.IDLE_TIMEOUT, False),
    httpx.ProxyError("no"): (FailureKind.CONNECTION, FaultCause.PROXY, False),
    httpx.ReadTimeout(""): (FailureKind.TIMEOUT, FaultCause.IDLE_TIMEOUT, True),
    httpx.ReadError("no"): (FailureKind.CONNECTION, FaultCause.CLOSED, True),
    httpx.WriteError("no"): (FailureKind.CONNECTION, FaultCause.CLOSED, True),
    httpx.RemoteProtocolError("no"): (FailureKind.MALFORMED_RESPONSE, FaultCause.PROTOCOL, True),
    httpx.RemoteProtocolError("Server disconnected"): (FailureKind.MALFORMED_RESPONSE, FaultCause.CLOSED, True),
    httpx.DecodingError("no"): (FailureKind.MALFORMED_RESPONSE, FaultCause.PROTOCOL, True),
}


@pytest.mark.parametrize("error", TROUBLE, ids=repr)
async def test_httpx_s_errors_are_faults(error: httpx.TransportError) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    fault = await senders_over(Endpoint("https://x.example"), httpx.MockTransport(handle))().send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == TROUBLE[error]
    assert "x.example:443" in fault.message
    assert str(error) in fault.message


@pytest.mark.parametrize("broken", [b"no TLS at all\r\n", b"", b"\x16\x03\x03"])
async def test_handshake_that_breaks_behind_a_proxy_disables_no_worker(broken: bytes, tmp_path: Path) -> None:
    authority = Authority(str(tmp_path / "ca.pem"))

    async def tunnel(peer: Peer, request: Request) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        if peer.number < 3:
            await peer.send(broken)
            await peer.close()
            return
        await tunnel_to(far.port, peer)

    async with serve(answering(WHOLE), tls=authority.server_context("api.example.com")) as far, serve(tunnel) as proxy:
        endpoint = Endpoint("https://api.example.com/v1", tls=TlsOptions(authority.path), timeouts=Timeouts(2, 2, 4))
        async with open_senders(endpoint, env={"https_proxy": proxy.url}) as open_sender:
            sender = open_sender()
            replies = [await sender.send(JOB, "i") for _ in range(5)]
            sender.close()

    assert [isinstance(reply, Answer) for reply in replies] == [False, False, False, True, True]
    assert not any(reply.maybe_sent for reply in replies if isinstance(reply, Fault))


def proxied(port: int, scheme: str) -> tuple[Endpoint, dict[str, str]]:
    return Endpoint(f"{scheme}://api.example.com/v1", timeouts=PATIENT), {f"{scheme}_proxy": f"http://127.0.0.1:{port}"}


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_wants_credentials_is_named_with_its_variable(scheme: str) -> None:
    async with serve(answering(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")) as proxy:
        endpoint, env = proxied(proxy.port, scheme)
        async with open_senders(endpoint, env=env) as open_sender:
            fault = await open_sender().send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.cause, fault.maybe_sent) == (FaultCause.PROXY_AUTH, False)
    assert f"put them into {scheme}_proxy, as http://USER:PASSWORD@127.0.0.1:{proxy.port}" in fault.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_proxy_that_is_not_there_is_not_taken_for_the_provider(scheme: str) -> None:
    endpoint, env = proxied(1, scheme)
    async with open_senders(endpoint, env=env) as open_sender:
        fault = await open_sender().send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.cause, fault.maybe_sent) == (FaultCause.PROXY, False)
    assert fault.message == f"cannot connect to the proxy 127.0.0.1:1 ({scheme}_proxy): connection refused"


async def test_proxy_that_opens_no_tunnel_is_a_fault_of_the_proxy() -> None:
    async with serve(answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as proxy:
        endpoint, env = proxied(proxy.port, "https")
        async with open_senders(endpoint, env=env) as open_sender:
            fault = await open_sender().send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.cause, fault.maybe_sent) == (FaultCause.PROXY, False)
    assert "(https_proxy) did not connect us to api.example.com:443: 503 No" in fault.message


async def test_connection_refused_has_the_same_cause_and_words_over_either_transport() -> None:
    faults = []
    for transport in Transport:
        async with open_senders(Endpoint("http://127.0.0.1:1"), transport=transport) as open_sender:
            sender = open_sender()
            faults.append(await sender.send(JOB, "i"))
            sender.close()

    own, other = faults
    assert isinstance(own, Fault)
    assert isinstance(other, Fault)
    assert (own.cause, own.message) == (other.cause, other.message)
    assert own.cause is FaultCause.REFUSED


async def test_unknown_certificate_has_the_same_cause_over_either_transport(tmp_path: Path) -> None:
    context = Authority(str(tmp_path / "ca.pem")).server_context("localhost")
    for transport in Transport:
        async with serve(answering(WHOLE), tls=context) as server:
            async with open_senders(Endpoint(f"https://localhost:{server.port}"), transport=transport) as open_sender:
                sender = open_sender()
                fault = await sender.send(JOB, "i")
                sender.close()

        assert isinstance(fault, Fault)
        assert (fault.cause, fault.permanent) == (FaultCause.TLS, True)
        assert "provider.tls.ca" in fault.message


async def test_total_deadline_holds_over_any_transport(autojump_clock: trio.testing.MockClock) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.sleep(1000)
        return httpx.Response(200)

    fault = await senders_over(Endpoint("https://x.example"), httpx.MockTransport(handle))().send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.TIMEOUT, True)
    assert "600 s (total deadline)" in fault.message
    assert trio.current_time() < 601


class Pieces(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self._body), 100):
            yield self._body[at : at + 100]


@pytest.mark.parametrize("coding", [b"identity", b"gzip"])
async def test_caps_hold_over_any_transport(coding: bytes) -> None:
    body = gzip.compress(bytes(5000)) if coding == b"gzip" else bytes(5000)

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Encoding": coding.decode()}, stream=Pieces(body))

    endpoint = Endpoint("https://x.example", caps=Caps(body=4999))
    fault = await senders_over(endpoint, httpx.MockTransport(handle))().send(JOB, "i")

    assert isinstance(fault, Fault)
    assert fault.kind is FailureKind.MALFORMED_RESPONSE


async def test_endpoint_that_makes_no_sense_is_refused_at_once() -> None:
    for base_url in ("ftp://x", "x", "http://"):
        with pytest.raises(ValueError, match="http"):
            async with open_senders(Endpoint(base_url)):
                pass

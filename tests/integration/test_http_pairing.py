"""A provider that answers requests twice, on real sockets: no row gets another row's answer, and people are told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.edges.http import Counts, open_senders
from pipeline.edges.http import pairing as pairing_module
from pipeline.edges.http.endpoint import ConnectionBounds, Endpoint
from pipeline.records import Answer, Fault, FaultCause, Job, Transport
from tests.fakes.senders import PATIENT
from tests.fakes.servers import Authority, Peer, Request, serve

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.ports import Sender

pytestmark = pytest.mark.usefixtures("any_readiness")

BOTH = pytest.mark.parametrize("transport", Transport)


def job(number: int) -> Job:
    return Job(number, f"row-{number}", "POST", "/v1/chat/completions", b"%d" % number, 1, 1)


def answer_to(request: Request, *headers: bytes) -> bytes:
    body = b"the answer to " + request.body
    return b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s\r\n" % header for header in headers) + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


def own(reply: Answer | Fault, number: int) -> bool:
    return isinstance(reply, Answer) and reply.body == b"the answer to %d" % number


async def until_own(sender: Sender, number: int) -> int:
    """The attempts that a row needs; none of them may end in another row's answer."""
    for attempt in range(1, 10):
        reply = await sender.send(job(number), f"id-{number}-{attempt}")
        if isinstance(reply, Answer):
            assert own(reply, number)
            return attempt
        assert reply.cause is FaultCause.PROTOCOL
        assert reply.maybe_sent
    raise AssertionError(f"row {number} never got its answer")


@BOTH
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_second_copy_that_overtakes_an_answer_reaches_no_row(
    transport: Transport, scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The copy comes in the place of the next answer, and that one right behind it."""

    async def script(peer: Peer, request: Request) -> None:
        answer = answer_to(request)
        if request.body == b"3" and not copied:
            copied.append(answer)
        elif len(copied) == 1:
            copied.append(b"")
            answer = copied[0] + answer  # in one piece: where the second one is late, nobody can know that the first is not its own
        await peer.send(answer)

    copied: list[bytes] = []
    authority = Authority(str(tmp_path / "ca.pem"))
    context = authority.server_context("localhost") if scheme == "https" else None
    async with serve(script, tls=context) as server:
        endpoint = Endpoint(f"{scheme}://localhost:{server.port}", timeouts=PATIENT, tls=authority.options())
        async with open_senders(endpoint, transport=transport) as open_sender:
            sender = open_sender()
            attempts = [await until_own(sender, number) for number in range(8)]
            sender.close()

    assert attempts == [1, 1, 1, 1, 2, 1, 1, 1]
    if transport is Transport.OWN:  # httpcore may close the connection because something came, and forget what
        assert server.accepted == 5  # one until it was caught, and then one for each request
        assert "answered a request twice, and the second answer came for another row, which is sent again" in caplog.text


@BOTH
async def test_second_copy_between_two_requests_costs_a_connection_and_no_row(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(answer_to(request))
        await peer.send(answer_to(request))
        copied.set()

    copied = trio.Event()
    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
        sender = open_sender()
        first = await sender.send(job(0), "id-0")
        await copied.wait()
        second = await sender.send(job(1), "id-1")
        sender.close()

    assert own(first, 0)
    assert own(second, 1)
    assert server.accepted == 2
    assert "may hold another row's answer" not in caplog.text


async def test_second_copy_that_comes_just_before_a_request_reaches_no_row(mock_clock: object) -> None:
    """However short a time ago another request has left: here time stands still."""
    del mock_clock
    peers: list[tuple[Peer, Request]] = []

    async def script(peer: Peer, request: Request) -> None:
        peers.append((peer, request))
        await peer.send(answer_to(request))

    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT)) as open_sender:
        one, other = open_sender(), open_sender()
        await one.send(job(0), "id-0")
        await other.send(job(1), "id-1")
        copied, request = peers[-1]
        await one.send(job(2), "id-2")
        assert isinstance(copied.stream, trio.SocketStream)
        os.write(copied.stream.socket.fileno(), answer_to(request))  # at once, so that nobody can have been woken
        reply = await other.send(job(3), "id-3")
        one.close()
        other.close()

    assert own(reply, 3)
    assert server.accepted == 3


@BOTH
async def test_answer_that_nobody_asked_for_names_the_rows_before_it(transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    """Two answers to one request that differ: a relay that asked its own provider twice."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(answer_to(request))
        if request.body == b"2":
            await answered.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nanother")
            sent.set()

    answered, sent = trio.Event(), trio.Event()
    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
        sender = open_sender()
        for number in range(3):
            await sender.send(job(number), f"id-{number}")
        answered.set()
        await sent.wait()
        reply = await sender.send(job(3), "id-3")
        sender.close()

    assert own(reply, 3)
    assert "these rows may hold another row's answer, so check them or send them again: row-0, row-1, row-2" in caplog.text
    assert server.accepted == 2


@BOTH
async def test_echo_of_another_request_is_never_believed(transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    async def script(peer: Peer, request: Request) -> None:
        seen.append(request)
        late = seen[-2] if len(seen) == 3 else request  # the third request gets what was meant for the second
        await peer.send(answer_to(request, b"X-Request-Id: " + late.headers["x-client-request-id"].encode()))

    seen: list[Request] = []
    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
        sender = open_sender()
        replies = [await sender.send(job(number), f"id-{number}") for number in range(4)]
        sender.close()

    assert [isinstance(reply, Answer) for reply in replies] == [True, True, False, True]
    assert "with the id of another request; its row is sent again" in caplog.text


@BOTH
async def test_provider_that_always_says_the_same_is_believed(transport: Transport) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsame")

    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
        sender = open_sender()
        replies = [await sender.send(job(number), f"id-{number}") for number in range(20)]
        sender.close()

    assert all(isinstance(reply, Answer) for reply in replies)
    assert (server.accepted, len(server.requests)) == (1, 20)


async def test_connection_is_used_again_after_a_silent_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_module, "REST_EVERY", 3)
    monkeypatch.setattr(pairing_module, "REST_EVERY_SECONDS", 0.0)
    counts = Counts()

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(answer_to(request))

    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), counts=counts) as open_sender:
        sender = open_sender()
        replies = [await sender.send(job(number), f"id-{number}") for number in range(10)]
        sender.close()

    assert all(own(reply, number) for number, reply in enumerate(replies))
    assert (counts.opened, counts.stale) == (1, 0)


async def test_server_that_closes_in_a_rest_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_module, "REST_EVERY", 1)
    monkeypatch.setattr(pairing_module, "REST_EVERY_SECONDS", 0.0)

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(answer_to(request))
        await peer.close()

    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=PATIENT)) as open_sender:
        sender = open_sender()
        replies = [await sender.send(job(number), f"id-{number}") for number in range(3)]
        sender.close()

    assert all(own(reply, number) for number, reply in enumerate(replies))


@BOTH
async def test_connection_carries_no_more_requests_than_it_may(transport: Transport) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(answer_to(request))

    async with serve(script) as server:
        endpoint = Endpoint(server.url, timeouts=PATIENT, connection=ConnectionBounds(max_requests=2))
        async with open_senders(endpoint, transport=transport) as open_sender:
            sender = open_sender()
            replies = [await sender.send(job(number), f"id-{number}") for number in range(6)]
            sender.close()

    assert all(own(reply, number) for number, reply in enumerate(replies))
    assert server.accepted == 3


@BOTH
async def test_connection_is_not_used_longer_than_it_may(transport: Transport) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(answer_to(request))

    async with serve(script) as server:
        endpoint = Endpoint(server.url, timeouts=PATIENT, connection=ConnectionBounds(max_seconds=1e-9))
        async with open_senders(endpoint, transport=transport) as open_sender:
            sender = open_sender()
            replies = [await sender.send(job(number), f"id-{number}") for number in range(3)]
            sender.close()

    assert all(own(reply, number) for number, reply in enumerate(replies))
    assert server.accepted == 3

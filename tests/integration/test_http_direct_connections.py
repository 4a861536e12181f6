"""DirectSender against real sockets: one connection for each worker, kept, dropped and replaced; no answer is ever another's."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.edges.http import Counts, connect, open_senders
from pipeline.edges.http.connection import Connection
from pipeline.edges.http.endpoint import Caps, Endpoint, Timeouts
from pipeline.records import Answer, FailureKind, Fault, FaultCause
from tests.fakes.senders import JOB, PATIENT, sender_to
from tests.fakes.servers import OK_BODY, WHOLE, Peer, Request, answer_whole, answering, listen_unix, serve

if TYPE_CHECKING:
    from pipeline.ports import Sender

pytestmark = pytest.mark.usefixtures("any_readiness")


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


HEAD = b"HTTP/1.1 200 OK\r\n"


async def test_connections_are_as_many_as_workers() -> None:
    workers, requests = 8, 60
    counts = Counts()

    async def work(sender: Sender) -> None:
        for number in range(requests):
            assert isinstance(await sender.send(JOB, f"id-{number}"), Answer)
        sender.close()

    async with (
        serve(answering(WHOLE)) as server,
        open_senders(Endpoint(server.url, timeouts=PATIENT), counts=counts) as open_sender,
        trio.open_nursery() as nursery,
    ):
        for _ in range(workers):
            nursery.start_soon(work, open_sender())

    assert server.accepted == counts.opened == workers
    assert len(server.requests) == workers * requests


async def test_workers_that_start_together_make_one_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    lookups = 0
    open_by_name = trio.open_tcp_stream

    async def counted(host: str, port: int) -> trio.SocketStream:
        nonlocal lookups
        lookups += 1
        return await open_by_name(host, port)

    monkeypatch.setattr(trio, "open_tcp_stream", counted)
    async with serve(answering(WHOLE)) as server, open_senders(Endpoint(f"http://localhost:{server.port}")) as open_sender:
        senders = [open_sender() for _ in range(20)]
        async with trio.open_nursery() as nursery:
            for sender in senders:
                nursery.start_soon(sender.send, JOB, "i")
        for sender in senders:
            sender.close()

    assert (server.accepted, lookups) == (20, 1)


async def test_server_that_comes_back_elsewhere_is_looked_for_again() -> None:
    async with serve(answering(WHOLE)) as server, sender_to(f"http://localhost:{server.port}") as sender:
        first = await sender.send(JOB, "i")
        sender.close()
        sender._dialer._addresses["localhost", server.port].found = (trio.socket.AF_INET, ("127.0.0.1", 1))  # type: ignore[attr-defined]
        gone = await sender.send(JOB, "i")
        again = await sender.send(JOB, "i")

    assert isinstance(first, Answer)
    assert isinstance(gone, Fault)
    assert not gone.maybe_sent
    assert isinstance(again, Answer)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels may refuse, and have no /proc")
async def test_server_that_takes_no_more_connections_is_waited_for_until_the_deadline() -> None:
    """Its kernel drops what comes above the backlog, so that a connection stays under way."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()

        async def answer_one() -> None:
            trio_listener = trio.socket.from_stdlib_socket(listener.dup())
            taken, _ = await trio_listener.accept()
            trio_listener.close()
            with taken:
                await taken.recv(65_536)
                await taken.send(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}")

        endpoint = Endpoint(f"http://127.0.0.1:{address[1]}", timeouts=Timeouts(connect=0.05))
        async with open_senders(endpoint) as open_sender, trio.open_nursery() as nursery:
            sender = open_sender()
            nursery.start_soon(answer_one)
            answer = await sender.send(JOB, "i")
            for _ in range(3):
                other = waiting.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(address)
            before = open_files()
            fault = await sender.send(JOB, "i")
            left = open_files() - before

    assert isinstance(answer, Answer)
    assert isinstance(fault, Fault)
    assert (fault.cause, fault.maybe_sent) == (FaultCause.CONNECT_TIMEOUT, False)
    assert left == 0


async def test_servers_on_this_machine_are_reached_without_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting in a task takes twice the CPU, and 5,000 connections are wanted at once."""
    async with serve(answering(WHOLE)) as server, open_senders(Endpoint(server.url)) as open_sender:
        senders = [open_sender() for _ in range(5)]
        first = await senders[0].send(JOB, "i")
        monkeypatch.setattr(trio, "open_tcp_stream", None)
        monkeypatch.setattr(trio.lowlevel, "wait_writable", None)
        others = [await sender.send(JOB, "i") for sender in senders[1:]]
        for sender in senders:
            sender.close()

    assert all(isinstance(answer, Answer) for answer in (first, *others))
    assert server.accepted == 5


@pytest.mark.parametrize("again", [False, True], ids=["by name", "at the known address"])
async def test_connections_send_at_once_and_notice_a_peer_that_vanished(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001  a parameter
    """Without TCP_NODELAY a request in two packets waits for an acknowledgement, 40 ms on Linux; without probes a NAT forgets us."""
    opened: list[socket.socket] = []

    class Remembering(Connection):
        def __init__(self, sock: socket.socket, caps: Caps) -> None:
            opened.append(sock)
            super().__init__(sock, caps)

    monkeypatch.setattr(connect, "Connection", Remembering)
    async with serve(answering(WHOLE)) as server, open_senders(Endpoint(f"http://localhost:{server.port}")) as open_sender:
        senders = [open_sender() for _ in range(1 + again)]
        for sender in senders:
            await sender.send(JOB, "i")

        sock = opened[-1]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == connect.PROBE_AFTER_SECONDS
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == connect.PROBE_EVERY_SECONDS
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == connect.PROBES
        for sender in senders:
            sender.close()


async def test_connection_that_takes_no_probes_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, where a connection takes no options once the server has gone."""
    closing = answering(WHOLE.replace(b"content-type", b"connection: close\r\ncontent-type"))

    async with serve(closing) as server, sender_to(server.url) as sender:
        await sender.send(JOB, "i")
        monkeypatch.setattr(connect, "PROBING", [(socket.SOL_SOCKET, 9999, 1)])
        faults = [await sender.send(JOB, "i") for _ in range(3)]

    for fault in faults:
        assert isinstance(fault, Fault)
        assert (fault.kind, fault.maybe_sent) == (FailureKind.CONNECTION, False)


async def test_connection_may_be_ipv6() -> None:
    try:
        [listener] = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        pytest.skip("no IPv6 here")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer_whole, [listener])
        async with sender_to(f"http://[::1]:{listener.socket.getsockname()[1]}") as sender:
            answers = [await sender.send(JOB, "i") for _ in range(2)]
        nursery.cancel_scope.cancel()

    assert all(isinstance(answer, Answer) for answer in answers)


async def test_unix_socket_is_spoken_to_like_any_other(tmp_path: object) -> None:
    path = f"{tmp_path}/s"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer_whole, [await listen_unix(path)])
        async with open_senders(Endpoint("http://inner", unix_socket=path)) as open_sender:
            sender = open_sender()
            answers = [await sender.send(JOB, "i") for _ in range(3)]
            sender.close()
        nursery.cancel_scope.cancel()

    assert all(isinstance(answer, Answer) for answer in answers)


async def test_cancelled_attempt_drops_its_connection() -> None:
    asked = trio.Event()

    async def script(peer: Peer, request: Request) -> None:
        if len(server.requests) == 1:
            asked.set()
            await trio.sleep_forever()
        await peer.send(WHOLE)

    async with serve(script) as server, sender_to(server.url) as sender:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send, JOB, "i")
            await asked.wait()
            nursery.cancel_scope.cancel()
        answer = await sender.send(JOB, "i")

    assert isinstance(answer, Answer)
    assert server.accepted == 2


DROPPED = {
    "Connection: close": HEAD + b"Connection: close\r\nContent-Length: 27\r\n\r\n" + OK_BODY,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 27\r\n\r\n" + OK_BODY,
    "bytes after the response": WHOLE + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
}


@pytest.mark.parametrize("name", DROPPED)
async def test_connection_that_may_not_be_reused_is_dropped(name: str) -> None:
    async with serve(answering(DROPPED[name])) as server, sender_to(server.url) as sender:
        for _ in range(3):
            answer = await sender.send(JOB, "i")
            assert isinstance(answer, Answer)
            assert answer.body == OK_BODY

    assert server.accepted == 3


async def test_bytes_that_nobody_asked_for_are_never_taken_for_an_answer() -> None:
    told = trio.Event()

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(WHOLE)
        if peer.number == 0:
            await peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 5\r\n\r\nwrong")
            told.set()

    async with serve(script) as server, sender_to(server.url) as sender:
        first = await sender.send(JOB, "i")
        await told.wait()
        second = await sender.send(JOB, "i")

    assert [reply.body for reply in (first, second) if isinstance(reply, Answer)] == [OK_BODY, OK_BODY]
    assert server.accepted == 2


# Stale connections: closed by the server between two requests


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_connection_closed_at_rest_is_replaced_without_loss(how: str) -> None:
    gone = trio.Event()
    counts = Counts()

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(WHOLE)
        if peer.number == 0:
            await peer.close() if how == "close" else peer.reset()
            gone.set()

    async with serve(script) as server, sender_to(server.url, counts=counts) as sender:
        await sender.send(JOB, "i")
        await gone.wait()
        answer = await sender.send(JOB, "i")

    assert isinstance(answer, Answer)
    assert (server.accepted, len(server.requests), counts.stale) == (2, 2, 1)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_connection_closed_just_before_the_request_is_replaced_without_loss(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The close that a look at the socket did not see yet: the kernel says that the request was never taken."""
    monkeypatch.setattr("pipeline.edges.http.connection.Connection.surplus", lambda self: None)

    await test_connection_closed_at_rest_is_replaced_without_loss(how)


@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_request_that_may_have_been_read_is_not_sent_again(how: str) -> None:
    counts = Counts()

    async def script(peer: Peer, request: Request) -> None:
        if len(server.requests) == 1:
            await peer.send(WHOLE)
        elif how == "reset":
            peer.reset()
        elif how == "half":
            await peer.finish()
        else:
            await peer.close()

    async with serve(script) as server, sender_to(server.url, counts=counts) as sender:
        await sender.send(JOB, "i")
        fault = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.CONNECTION, True)
    assert (server.accepted, len(server.requests), counts.stale) == (1, 2, 0)

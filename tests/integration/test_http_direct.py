"""DirectSender against real sockets: whatever a server does, an attempt ends as an Answer or a Fault."""

from __future__ import annotations

import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.edges.http import Counts, open_senders
from pipeline.edges.sender import Caps, Endpoint, Timeouts
from pipeline.records import Answer, FailureKind, Fault, Job
from tests.fakes.servers import OK_BODY, WHOLE, Peer, Request, answering, answering_and_closing, byte_by_byte, listen, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pipeline.edges.sender import Sender

    Script = Callable[[Peer, Request], Awaitable[None]]

BODY = b'{"model": "m", "messages": []}'
JOB = Job(0, "row-0", "POST", "/v1/chat/completions", BODY, 1, 1)
PATIENT = Timeouts(connect=5, idle=5, total=10)
HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def sender_to(
    url: str, *, timeouts: Timeouts = PATIENT, caps: Caps | None = None, counts: Counts | None = None
) -> AsyncIterator[Sender]:
    endpoint = Endpoint(url, ("authorization", "Bearer k"), timeouts=timeouts, caps=caps or Caps())
    async with open_senders(endpoint, counts=counts) as open_sender:
        sender = open_sender()
        yield sender
        sender.close()
        sender.close()


async def reply_of(script: Script, *, timeouts: Timeouts = PATIENT, caps: Caps | None = None, job: Job = JOB) -> Answer | Fault:
    async with serve(script) as server, sender_to(server.url, timeouts=timeouts, caps=caps) as sender:
        return await sender.send(job, "id-1")


def job_of(body: bytes) -> Job:
    return Job(0, "row-0", "POST", "/v1/chat/completions", body, 1, 1)


async def test_request_arrives_as_it_was_made() -> None:
    async with serve(answering(WHOLE)) as server, sender_to(server.url + "/v1") as sender:
        answer = await sender.send(JOB, "id-7")

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.header(b"content-type")) == (200, OK_BODY, b"application/json")
    [request] = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/chat/completions", BODY)
    assert request.headers["authorization"] == "Bearer k"
    assert request.headers["x-client-request-id"] == "id-7"


async def test_answer_says_when_its_request_had_left() -> None:
    before = trio.current_time()

    answer = await reply_of(answering(WHOLE))

    assert answer.sent_at is not None
    assert before < answer.sent_at < trio.current_time()


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


BODIES = {
    "400 kB": b'{"content": "' + b"x" * 400_000 + b'"}',
    "U+2028": '{"content": "a\u2028b"}'.encode(),
    "empty": b"",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("framing", ["length", "chunks", "end", "gzip"])
async def test_body_arrives_as_it_was_sent(name: str, framing: str) -> None:
    body = BODIES[name]
    if framing == "length":
        script = answering(HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body)
    elif framing == "chunks":
        chunks = [b"%x;e=1\r\n%s\r\n" % (len(piece), piece) for piece in (body[at : at + 9000] for at in range(0, len(body), 9000))]
        script = answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\nX-Sum: 1\r\n\r\n")
    elif framing == "end":
        script = answering_and_closing(HEAD + b"\r\n", body)
    else:
        packed = gzip.compress(body)
        script = answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed), packed)

    answer = await reply_of(script)

    assert isinstance(answer, Answer)
    assert answer.body == body


async def test_large_request_arrives_whole() -> None:
    big = job_of(b"x" * 20_000_000)

    async with serve(answering(WHOLE)) as server, sender_to(server.url) as sender:
        answer = await sender.send(big, "i")

    assert isinstance(answer, Answer)
    assert server.requests[0].body == big.body


async def test_response_may_come_byte_by_byte() -> None:
    answer = await reply_of(answering(*byte_by_byte(b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + WHOLE)))

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (200, OK_BODY)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 503, 529])
async def test_every_status_is_an_answer_and_redirects_are_not_followed(status: int) -> None:
    answer = await reply_of(answering(b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno" % status))

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (status, b"no")


MALFORMED = {
    "not HTTP": b"<html>hi</html>",
    "lengths that differ": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "a broken coding": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
    "a body over the cap": HEAD + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000,
    "a body over the cap once decoded": HEAD
    + b"Content-Encoding: gzip\r\nContent-Length: 51\r\n\r\n"
    + gzip.compress(bytes(20000), mtime=0),
    "headers over the cap": HEAD + b"X: 1\r\n" * 200 + b"\r\n",
    "a body cut short": HEAD + b"Content-Length: 20\r\n\r\nhi",
    "chunks cut short": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    "headers cut short": HEAD + b"Content-Le",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_whole_response_is_a_fault(name: str) -> None:
    fault = await reply_of(answering_and_closing(MALFORMED[name]), caps=Caps(headers=1000, body=1000))

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.permanent) == (FailureKind.MALFORMED_RESPONSE, True, False)
    assert fault.sent_at is not None


async def test_server_that_closes_without_an_answer_is_a_broken_connection() -> None:
    fault = await reply_of(answering_and_closing())

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.CONNECTION, True)


@pytest.mark.parametrize("first", [b"", HEAD, HEAD + b"Content-Length: 20\r\n\r\nhi"])
async def test_reset_is_a_broken_connection_at_any_point(first: bytes) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(first)
        peer.reset()

    fault = await reply_of(script)

    assert isinstance(fault, Fault)
    assert fault.kind in (FailureKind.CONNECTION, FailureKind.MALFORMED_RESPONSE)
    assert fault.maybe_sent


async def test_refused_connection_was_never_sent() -> None:
    async with sender_to("http://127.0.0.1:1") as sender:
        fault = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.permanent, fault.sent_at) == (FailureKind.CONNECTION, False, False, None)
    assert "127.0.0.1:1" in fault.message


async def test_unknown_name_was_never_sent() -> None:
    async with sender_to("http://no-such-host.invalid") as sender:
        fault = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.CONNECTION, False)
    assert "no-such-host.invalid" in fault.message


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


# Connections that are not kept


DROPPED = {
    "Connection: close": HEAD + b"Connection: close\r\nContent-Length: 11\r\n\r\n" + OK_BODY,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 11\r\n\r\n" + OK_BODY,
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
    monkeypatch.setattr("pipeline.edges.http.connection.Connection.is_fresh", lambda self: True)

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


async def test_server_may_refuse_a_large_request_before_it_has_it_all() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        await stream.send_eof()
        with trio.move_on_after(5):  # a lingering close, as nginx does it: read on for a while, throw away, then close
            for _ in range(20):
                await stream.receive_some(65536)

    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, handle)
        async with sender_to(f"http://127.0.0.1:{port}") as sender:
            answer = await sender.send(job_of(bytes(30_000_000)), "i")
        nursery.cancel_scope.cancel()

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (413, b"big")


# Deadlines. The numbers are small because the clock is real; nothing is asserted about how long it took.


async def test_silent_server_ends_by_the_idle_deadline() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await trio.sleep_forever()

    fault = await reply_of(script, timeouts=Timeouts(idle=0.1, total=5))

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.TIMEOUT, True)
    assert "0.1 s (idle deadline)" in fault.message


async def test_server_that_stalls_in_the_body_ends_by_the_idle_deadline() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(HEAD + b"Content-Length: 20\r\n\r\nhi")
        await trio.sleep_forever()

    fault = await reply_of(script, timeouts=Timeouts(idle=0.1, total=5))

    assert isinstance(fault, Fault)
    assert "idle deadline" in fault.message


async def test_dripping_server_does_not_outlive_the_total_deadline() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(HEAD + b"Content-Length: 100000\r\n\r\n")
        while True:
            await peer.send(b"x")
            await trio.sleep(0.01)

    fault = await reply_of(script, timeouts=Timeouts(idle=5, total=0.2))

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.TIMEOUT, True)
    assert "0.2 s (total deadline)" in fault.message


async def ignore(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_server_that_reads_nothing_ends_by_a_deadline_and_has_not_the_whole_request() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, ignore)
        async with sender_to(f"http://127.0.0.1:{port}", timeouts=Timeouts(idle=0.1, total=5)) as sender:
            fault = await sender.send(job_of(bytes(30_000_000)), "i")
        nursery.cancel_scope.cancel()

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.sent_at) == (FailureKind.TIMEOUT, False, None)


async def test_server_that_reads_slowly_is_not_idle() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        left = len(big.body)
        while left > 0:
            left -= len(await stream.receive_some(1_000_000))
            await trio.sleep(0.01)
        await stream.send_all(WHOLE)

    big = job_of(bytes(16_000_000))
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, handle)
        async with sender_to(f"http://127.0.0.1:{port}", timeouts=Timeouts(idle=0.1, total=20)) as sender:
            answer = await sender.send(big, "i")
        nursery.cancel_scope.cancel()

    assert isinstance(answer, Answer)


@pytest.mark.parametrize("name", ["connect", "total"])
async def test_connection_that_is_never_accepted_ends_by_the_nearer_deadline(name: str) -> None:
    timeouts = Timeouts(connect=0.1) if name == "connect" else Timeouts(total=0.1)
    with trio.socket.socket() as full:
        await full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [trio.socket.socket() for _ in range(4)]
        async with trio.open_nursery() as nursery:
            for filler in fillers:
                nursery.start_soon(filler.connect, address)
            await trio.testing.wait_all_tasks_blocked(0.05)
            async with sender_to(f"http://127.0.0.1:{address[1]}", timeouts=timeouts) as sender:
                fault = await sender.send(JOB, "i")
            nursery.cancel_scope.cancel()
        for filler in fillers:
            filler.close()

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.TIMEOUT, False)
    assert f"0.1 s ({name} deadline)" in fault.message


async def test_sender_works_on_after_a_timeout_with_another_connection() -> None:
    async def script(peer: Peer, request: Request) -> None:
        if peer.number == 0:
            await trio.sleep_forever()
        await peer.send(WHOLE)

    async with serve(script) as server, sender_to(server.url, timeouts=Timeouts(idle=0.1)) as sender:
        fault = await sender.send(JOB, "i")
        answer = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert isinstance(answer, Answer)
    assert server.accepted == 2


async def test_time_at_rest_is_nobody_s_idle_time() -> None:
    async with serve(answering(WHOLE)) as server, sender_to(server.url, timeouts=Timeouts(idle=0.05, total=0.05)) as sender:
        first = await sender.send(JOB, "i")
        await trio.sleep(0.2)
        second = await sender.send(JOB, "i")

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert server.accepted == 1


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


async def test_connection_may_be_ipv6() -> None:
    try:
        [listener] = await trio.open_tcp_listeners(0, host="::1")
    except OSError:
        pytest.skip("no IPv6 here")

    async def handle(stream: trio.SocketStream) -> None:
        peer = Peer(stream, 0)
        while (await peer.request()) is not None:
            await peer.send(WHOLE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        async with sender_to(f"http://[::1]:{listener.socket.getsockname()[1]}") as sender:
            answers = [await sender.send(JOB, "i") for _ in range(2)]
        nursery.cancel_scope.cancel()

    assert all(isinstance(answer, Answer) for answer in answers)


async def test_no_repr_and_no_fault_shows_the_key() -> None:
    secret = "sk-never-shown"
    endpoint = Endpoint("http://127.0.0.1:1", ("authorization", secret), {"X-Key": secret})
    async with open_senders(endpoint) as open_sender:
        sender = open_sender()
        fault = await sender.send(JOB, "i")

    assert secret not in repr([endpoint, open_sender, sender, fault])


async def test_unix_socket_is_spoken_to_like_any_other(tmp_path: object) -> None:
    path = f"{tmp_path}/s"

    async def handle(stream: trio.SocketStream) -> None:
        peer = Peer(stream, 0)
        while (await peer.request()) is not None:
            await peer.send(WHOLE)

    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(path)
    listening.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, [trio.SocketListener(listening)])
        async with open_senders(Endpoint("http://inner", unix_socket=path)) as open_sender:
            sender = open_sender()
            answers = [await sender.send(JOB, "i") for _ in range(3)]
            sender.close()
        nursery.cancel_scope.cancel()

    assert all(isinstance(answer, Answer) for answer in answers)


async def test_job_that_must_not_be_sent_is_not() -> None:
    async with serve(answering(WHOLE)) as server, sender_to(server.url) as sender:
        with pytest.raises(ValueError, match="cannot be sent"):
            await sender.send(Job(0, "a", "POST", "/x\r\nHost: evil", BODY, 1, 1), "i")

    assert server.accepted == 0

"""DirectSender against real sockets: what is sent arrives as it was made, and so does what is answered."""

from __future__ import annotations

import gzip

import pytest
import trio

from pipeline.edges.http import open_senders
from pipeline.edges.http.endpoint import Endpoint
from pipeline.records import Answer, Job
from tests.fakes.senders import BODY, JOB, job_of, reply_of, sender_to
from tests.fakes.servers import OK_BODY, WHOLE, answering, answering_and_closing, byte_by_byte, listen, serve

pytestmark = pytest.mark.usefixtures("any_readiness")

HEAD = b"HTTP/1.1 200 OK\r\n"


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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 404, 429, 500, 503, 529])
async def test_every_status_is_an_answer_and_redirects_elsewhere_are_not_followed(status: int) -> None:
    answer = await reply_of(answering(b"HTTP/1.1 %d X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\nno" % status))

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body) == (status, b"no")


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


async def test_no_repr_and_no_fault_shows_the_key() -> None:
    secret = "sk-never-shown"
    endpoint = Endpoint("http://127.0.0.1:1", ("authorization", secret), {"X-Key": secret})
    async with open_senders(endpoint) as open_sender:
        sender = open_sender()
        fault = await sender.send(JOB, "i")

    assert secret not in repr([endpoint, open_sender, sender, fault])


async def test_job_that_must_not_be_sent_is_not() -> None:
    async with serve(answering(WHOLE)) as server, sender_to(server.url) as sender:
        with pytest.raises(ValueError, match="cannot be sent"):
            await sender.send(Job(0, "a", "POST", "/x\r\nHost: evil", BODY, 1, 1), "i")

    assert server.accepted == 0

"""DirectSender against real sockets: what is no answer is a Fault, which says whether the request may have been read."""

from __future__ import annotations

import gzip

import pytest

from pipeline.edges.http.endpoint import Caps
from pipeline.records import FailureKind, Fault
from tests.fakes.senders import JOB, reply_of, sender_to
from tests.fakes.servers import Peer, Request, answering_and_closing

pytestmark = pytest.mark.usefixtures("any_readiness")

HEAD = b"HTTP/1.1 200 OK\r\n"

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

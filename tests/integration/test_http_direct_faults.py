"""DirectSender against real sockets: what is no answer is a Fault, which says whether the request may have been read."""

from __future__ import annotations

import gzip

import pytest

from pipeline.edges.http.endpoint import Caps
from pipeline.records import FailureKind, Fault, FaultCause
from tests.fakes.senders import JOB, reply_of, sender_to
from tests.fakes.servers import Peer, Request, answering_and_closing

pytestmark = pytest.mark.usefixtures("any_readiness")

HEAD = b"HTTP/1.1 200 OK\r\n"

PACKED = gzip.compress(bytes(20000), mtime=0)
MALFORMED = {
    "not HTTP": (b"<html>hi</html>", FaultCause.PROTOCOL),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x50", FaultCause.PROTOCOL),
    "lengths that differ": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", FaultCause.PROTOCOL),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", FaultCause.PROTOCOL),
    "a broken coding": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", FaultCause.PROTOCOL),
    "a body over the cap": (HEAD + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000, FaultCause.TOO_LARGE),
    "a body over the cap once decoded": (
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,
        FaultCause.TOO_LARGE,
    ),
    "headers over the cap": (HEAD + b"X: 1\r\n" * 200 + b"\r\n", FaultCause.TOO_LARGE),
    "a body cut short": (HEAD + b"Content-Length: 20\r\n\r\nhi", FaultCause.CLOSED),
    "chunks cut short": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", FaultCause.CLOSED),
    "headers cut short": (HEAD + b"Content-Le", FaultCause.CLOSED),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_whole_response_is_a_fault(name: str) -> None:
    answer, cause = MALFORMED[name]

    fault = await reply_of(answering_and_closing(answer), caps=Caps(headers=1000, body=1000))

    assert isinstance(fault, Fault)
    assert fault.cause is cause
    assert (fault.kind, fault.maybe_sent, fault.permanent) == (FailureKind.MALFORMED_RESPONSE, True, False)
    assert fault.sent_at is not None


async def test_server_that_speaks_tls_is_recognised() -> None:
    fault = await reply_of(answering_and_closing(MALFORMED["a TLS alert"][0]))

    assert isinstance(fault, Fault)
    assert "is http:// in provider.base_url right?" in fault.message


async def test_server_that_closes_without_an_answer_is_a_broken_connection() -> None:
    fault = await reply_of(answering_and_closing())

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == (FailureKind.CONNECTION, FaultCause.CLOSED, True)


@pytest.mark.parametrize("first", [b"", HEAD, HEAD + b"Content-Length: 20\r\n\r\nhi"])
async def test_reset_is_a_broken_connection_at_any_point(first: bytes) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(first)
        peer.reset()

    fault = await reply_of(script)

    assert isinstance(fault, Fault)
    assert fault.kind in (FailureKind.CONNECTION, FailureKind.MALFORMED_RESPONSE)
    assert fault.cause is FaultCause.CLOSED
    assert fault.maybe_sent


async def test_refused_connection_was_never_sent() -> None:
    async with sender_to("http://127.0.0.1:1") as sender:
        fault = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.permanent, fault.sent_at) == (FailureKind.CONNECTION, False, False, None)
    assert fault.cause is FaultCause.REFUSED
    assert fault.message == ("cannot connect to 127.0.0.1:1: connection refused; is the server running, and is provider.base_url right?")


async def test_unknown_name_was_never_sent() -> None:
    async with sender_to("http://no-such-host.invalid") as sender:
        fault = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.CONNECTION, False)
    assert fault.cause is FaultCause.DNS
    assert fault.message.startswith("cannot connect to no-such-host.invalid:80: ")

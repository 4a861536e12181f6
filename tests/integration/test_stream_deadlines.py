"""Deadlines of streams on a virtual clock: comments and pings keep a connection alive, and an answer never."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import MockClock

from pipeline.edges.http.endpoint import Endpoint, Timeouts
from pipeline.edges.http.senders import open_senders, senders_over
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Job
from tests.fakes.servers import Peer, Request, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline.ports import Sender

SETTLED_SECONDS = 0.02  # real: while loopback still carries bytes, nobody is idle for so long
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
COMMENT, ANTHROPIC_PING = b": keep-alive\n\n", b'event: ping\ndata: {"type": "ping"}\n\n'
Script = Callable[[Peer, Request], Awaitable[None]]


def event(text: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return b"data: %s\n\n" % json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture
def clock() -> MockClock:
    """Time passes when nobody has anything to do."""
    return MockClock(autojump_threshold=SETTLED_SECONDS)


@pytest.fixture(params=["own", "httpx"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@asynccontextmanager
async def sender_to(url: str, timeouts: Timeouts, transport: str) -> AsyncIterator[Sender]:
    endpoint = Endpoint(url, timeouts=timeouts)
    async with httpx.AsyncHTTPTransport() as over, open_senders(endpoint) as open_sender:
        sender = senders_over(endpoint, over)() if transport == "httpx" else open_sender()
        try:
            yield sender
        finally:
            sender.close()


async def reply_of(script: Script, transport: str, *, streams: bool = True, **timeouts: float) -> Answer | Fault:
    job = Job(0, "r", "POST", "/v1/chat/completions", b'{"stream":true}', 1, 1, streams=streams)
    async with serve(script) as server, sender_to(server.url, Timeouts(idle=100, total=500, **timeouts), transport) as sender:
        return await sender.send(job, "i")


def saying(*steps: bytes | float, then: bytes | None = None) -> Script:
    """Sends pieces and waits for seconds; in the end one piece for ever, every 5 seconds."""

    async def script(peer: Peer, _: Request) -> None:
        for step in steps:
            if isinstance(step, bytes):
                await peer.send(step)
            else:
                await trio.sleep(step)
        while then is not None:
            await trio.sleep(5)
            await peer.send(chunk(then))

    return script


@pytest.mark.parametrize("ping", [COMMENT, ANTHROPIC_PING, b"\n", b'data: {"type":"ping"}\n\n'])
async def test_a_stream_of_which_only_pings_come_any_more_ends_by_the_stall_deadline(clock: MockClock, transport: str, ping: bytes) -> None:
    fault = await reply_of(saying(HEAD, chunk(event("a")), 10, chunk(event("b")), then=ping), transport, stall=30)

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == (FailureKind.TIMEOUT, FaultCause.STALL_TIMEOUT, True)
    assert "for 30 s" in fault.message
    assert "(stall deadline)" in fault.message
    assert 40 <= clock.current_time() < 41


@pytest.mark.parametrize("script", [saying(90), saying(HEAD, then=COMMENT)], ids=["silence", "comments"])
async def test_a_stream_that_never_says_anything_ends_by_the_stall_deadline(clock: MockClock, transport: str, script: Script) -> None:
    fault = await reply_of(script, transport, stall=30)

    assert isinstance(fault, Fault)
    assert fault.cause is FaultCause.STALL_TIMEOUT
    assert 30 <= clock.current_time() < 31


async def test_a_stream_that_goes_on_slowly_does_not_stall(clock: MockClock, transport: str) -> None:
    steps = [step for _ in range(5) for step in (chunk(COMMENT), 20.0, chunk(event("a")))]

    answer = await reply_of(saying(HEAD, *steps, chunk(event("", "stop")), b"0\r\n\r\n"), transport, stall=30)

    assert isinstance(answer, Answer)
    assert answer.arrival is not None
    assert answer.arrival.longest_gap == pytest.approx(20, abs=0.5)
    assert answer.arrival.first_token_at == pytest.approx(20, abs=0.5)


async def test_a_first_token_that_takes_too_long_ends_the_attempt_although_events_come(clock: MockClock, transport: str) -> None:
    role = b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n'

    fault = await reply_of(saying(HEAD, then=role), transport, first_token=60)

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause) == (FailureKind.TIMEOUT, FaultCause.STALL_TIMEOUT)
    assert "no token" in fault.message
    assert "within 60 s (first token deadline)" in fault.message
    assert 60 <= clock.current_time() < 61


async def test_a_first_token_in_time_lifts_its_deadline(clock: MockClock, transport: str) -> None:
    answer = await reply_of(saying(HEAD, 50, chunk(event("a")), 90, chunk(event("b", "stop")), b"0\r\n\r\n"), transport, first_token=60)

    assert isinstance(answer, Answer)


async def test_a_stream_that_nobody_asked_for_has_the_same_deadlines(clock: MockClock, transport: str) -> None:
    fault = await reply_of(saying(20, HEAD, chunk(event("a")), then=COMMENT), transport, streams=False, stall=30)

    assert isinstance(fault, Fault)
    assert fault.cause is FaultCause.STALL_TIMEOUT
    assert 50 <= clock.current_time() < 51


async def test_an_answer_without_a_stream_has_no_deadline_of_a_stream(clock: MockClock, transport: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"

    answer = await reply_of(saying(90, head + b'{"a": 12,', 90, b'     "b": 3}'[-11:]), transport, streams=False, stall=30, first_token=30)

    assert isinstance(answer, Answer)


async def test_a_connection_has_no_deadline_between_two_streams(clock: MockClock, transport: str) -> None:
    whole = HEAD + chunk(event("a", "stop")) + b"0\r\n\r\n"
    job = Job(0, "r", "POST", "/v1/chat/completions", b'{"stream":true}', 1, 1, streams=True)

    async def script(peer: Peer, _: Request) -> None:
        await peer.send(whole)

    async with serve(script) as server, sender_to(server.url, Timeouts(stall=30, first_token=30), transport) as sender:
        first = await sender.send(job, "i")
        await trio.sleep(300)
        second = await sender.send(job, "j")

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)


async def test_a_long_stream_among_many_is_read_by_ticks_and_ends_within_one(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.edges.http.watch.FEW", 0)  # as with many connections
    steps = [step for number in range(40) for step in (chunk(event(str(number))), 0.04)]

    answer = await reply_of(saying(HEAD, *steps, chunk(event("", "stop")), b"0\r\n\r\n"), "own")

    assert isinstance(answer, Answer)
    assert b"39" in answer.body
    assert answer.arrival is not None
    assert answer.arrival.first_token_at == pytest.approx(0, abs=0.01)
    assert 0.07 <= answer.arrival.longest_gap <= 0.15
    assert 1.6 <= clock.current_time() <= 1.75


async def test_a_short_stream_among_many_is_read_as_it_comes(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.edges.http.watch.FEW", 0)
    steps = [step for number in range(10) for step in (chunk(event(str(number))), 0.04)]

    answer = await reply_of(saying(HEAD, *steps, chunk(event("", "stop")), b"0\r\n\r\n"), "own")

    assert isinstance(answer, Answer)
    assert answer.arrival is not None
    assert answer.arrival.longest_gap == pytest.approx(0.04, abs=0.01)
    assert clock.current_time() == pytest.approx(0.4, abs=0.01)

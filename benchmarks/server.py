"""The provider that everything is measured against: one process on one core, as little Python per request as will do.

uvloop moves the bytes and keeps the timers, httptools parses; both are C. It answers each row with the row's own number, so
that a lost or mismatched answer is seen, and counts what it sees: arrivals, refusals, connections, its own CPU. It is
steered through its standard input (`reset`, `stats N`, `firsts`) and ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import ssl
import sys
import time
from array import array
from typing import TYPE_CHECKING

import httptools
import uvloop

from benchmarks.latency import TABLE_SIZE, latency_table
from benchmarks.peers.task import cpu_seconds
from benchmarks.windows import WINDOWS, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

SENTENCE = "Water reaches the wheel through the headrace, evenly and in good order. "
FILLER_BYTES = 600
WORDS = SENTENCE.encode().split()
HEAD = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nx-request-id: req-%b\r\ncontent-length: %d\r\n%b\r\n"
BODY = (
    b'{"id":"chatcmpl-%b","object":"chat.completion","created":1700000000,"model":"bench-1","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"answer to row-%b. FILLER","refusal":null},"logprobs":null,'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":24,"completion_tokens":120,"total_tokens":144,'
    b'"prompt_tokens_details":{"cached_tokens":0}},"system_fingerprint":"fp_bench"}'
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-%b\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":1700000000,"model":"bench-1","system_fingerprint":"fp_bench",'
    b'"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
)
REFUSAL = b'{"error":{"message":"Rate limit reached, row-%b","type":"requests","param":null,"code":"rate_limit_exceeded"}}'
NUMBER_LENGTH = 7
SLICE = 200  # events of an answer that are written in one go


class Counts:
    """What the server saw since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything but the open connections."""
        self.arrivals = array("d")
        self.passed = array("d")
        self.firsts: dict[str, float] = {}  # time of day at which the first event of each row was written
        self.refused = 0
        self.accepted = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.last_reply = 0.0
        self.cpu_at_reset = cpu_seconds()
        gc.collect()

    def summary(self, in_flight: int) -> dict[str, float]:
        """in_flight: of the scenario. The steady rate is taken from the arrival of row 2 N over as many whole N as there are.

        A part of N would come out too fast or too slow, for rows of one latency come in waves.
        """
        arrivals, skip = self.arrivals, 2 * in_flight
        rounds = max(0, len(arrivals) - 1 - skip) // in_flight
        last = skip + rounds * in_flight
        steady = rounds > 0 and arrivals[last] > arrivals[skip]
        return {
            "requests": len(arrivals),
            "refused": self.refused,
            "accepted": self.accepted,
            "most_in_flight": self.most_in_flight,
            "first_arrival": arrivals[0] if arrivals else 0.0,
            "last_arrival": arrivals[-1] if arrivals else 0.0,
            "last_reply": self.last_reply,
            "steady_per_second": (last - skip) / (arrivals[last] - arrivals[skip]) if steady else 0.0,
            "most_in_a_second": most_in_a_second(self.passed),
            "cpu_seconds": cpu_seconds() - self.cpu_at_reset,
        }


class Connection(asyncio.Protocol):
    """One client's connection; a request at a time, as HTTP/1.1 without pipelining has it."""

    __slots__ = ("body", "desk", "parser", "transport")

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self.transport = transport  # type: ignore[assignment]
        self.desk.counts.accepted += 1

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; of none at all, and the client is sent away."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.body = self.body + body if self.body else body

    def on_message_complete(self) -> None:
        """Called by the parser."""
        body, self.body = self.body, b""
        self.desk.serve(self, body)


class Desk:
    """Decides what a row gets and when."""

    def __init__(self, latencies: list[float], window: Window | None, options: argparse.Namespace) -> None:
        self.counts = Counts()
        self._latencies = latencies
        self._head_seconds: float | None = options.head_seconds
        self._window = window
        self._body = BODY.replace(b"FILLER", (SENTENCE * (options.answer_bytes // len(SENTENCE) + 1))[: options.answer_bytes].encode())
        self._events, self._event_seconds = options.events, options.event_seconds
        self._later = asyncio.get_running_loop().call_later
        self._clock = time.monotonic

    def serve(self, connection: Connection, body: bytes) -> None:
        """Answer in due time; what is over the limit is refused at once."""
        counts, now = self.counts, self._clock()
        counts.arrivals.append(now)
        place = body.find(b"row-") + 4
        number = body[place : place + NUMBER_LENGTH] if place > 3 else b"0000000"
        if self._window is not None and (wait := self._window.admit(now)) > 0:
            counts.refused += 1
            connection.transport.write(refusal(number, wait))
            return
        counts.passed.append(now)
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        row = int(number)
        seconds = self._latencies[row % TABLE_SIZE]
        if row == 0 and self._head_seconds is not None:
            seconds = self._head_seconds
        self._later(seconds, self._stream if self._events else self._reply, connection.transport, number)

    def _reply(self, transport: asyncio.Transport, number: bytes) -> None:
        counts = self.counts
        counts.in_flight -= 1
        if not transport.is_closing():
            body = self._body % (number, number)
            transport.write(HEAD % (b"200 OK", number, len(body), b"") + body)
            counts.last_reply = self._clock()

    def _stream(self, transport: asyncio.Transport, number: bytes) -> None:
        """Begin an answer that comes in events."""
        if not transport.is_closing():
            transport.write(STREAM_HEAD % number)
        self._event(transport, events_of(number, self._events))

        # Noted after the write, which is the moment from which a client can have it.
        self.counts.firsts[str(int(number))] = time.time()

    def _event(self, transport: asyncio.Transport, events: Iterator[bytes]) -> None:
        """Write the next event, or a slice of them if they are not paced, so that long answers come side by side."""
        for number, event in enumerate(events, 1):
            if not transport.is_closing():
                transport.write(chunk(event))
            if self._event_seconds or number == SLICE:
                self._later(self._event_seconds, self._event, transport, events)
                return
        self.counts.in_flight -= 1
        if not transport.is_closing():
            transport.write(b"0\r\n\r\n")
            self.counts.last_reply = self._clock()


def events_of(number: bytes, count: int) -> Iterator[bytes]:
    """The events of an answer: its row's number, so much text, its end."""
    yield EVENT % (number, b'{"role":"assistant","content":"answer to row-%b. "}' % number, b"null")
    for place in range(count - 3):
        yield EVENT % (number, b'{"content":"%b "}' % WORDS[place % len(WORDS)], b"null")
    yield EVENT % (number, b"{}", b'"stop"')
    yield b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    """A chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(number: bytes, wait: float) -> bytes:
    """A 429 as OpenAI words it, with the wait in both its headers."""
    body = REFUSAL % number
    extra = b"retry-after-ms: %d\r\nretry-after: %d\r\n" % (int(wait * 1000) + 1, int(wait) + 1)
    return HEAD % (b"429 Too Many Requests", number, len(body), extra) + body


def most_in_a_second(times: array[float]) -> int:
    """The largest count in any stretch of one second, its end excluded."""
    most = start = 0
    for end, at in enumerate(times):
        while times[start] <= at - 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most


async def serve(options: argparse.Namespace) -> None:
    """Serve until standard input closes; the first line out is the port."""
    loop = asyncio.get_running_loop()
    window = WINDOWS[options.window](options.limit, 1.0) if options.limit else None
    desk = Desk(latency_table(options.latency), window, options)
    context = None
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert)
    server = await loop.create_server(lambda: Connection(desk), "127.0.0.1", options.port, ssl=context, backlog=16_384)
    say({"port": server.sockets[0].getsockname()[1]})
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), obey, desk, ended)
    await ended.wait()


def obey(desk: Desk, ended: asyncio.Event) -> None:
    """One command from standard input."""
    command = sys.stdin.readline().split()
    match command:
        case []:
            ended.set()
        case ["reset"]:
            desk.counts.reset()
            say({})
        case ["count"]:  # cheap, for whoever asks while a run goes on
            say({"requests": len(desk.counts.arrivals), "refused": desk.counts.refused})
        case ["firsts"]:
            say(desk.counts.firsts)
        case ["stats", in_flight]:
            say(desk.counts.summary(int(in_flight)))


def say(message: dict[str, float]) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(message), flush=True)


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", default="fixed:0.05")
    parser.add_argument("--head-seconds", type=float, help="how long row 0 takes")
    parser.add_argument("--limit", type=int, default=0, help="requests a second; 0 is none")
    parser.add_argument("--window", choices=sorted(WINDOWS), default="sliding")
    parser.add_argument("--answer-bytes", type=int, default=FILLER_BYTES, help="text in an answer")
    parser.add_argument("--events", type=int, default=0, help="of a streamed answer; 0 does not stream")
    parser.add_argument("--event-seconds", type=float, default=0.0, help="between two events")
    parser.add_argument("--cert", help="PEM with key and certificate, for TLS")
    parser.add_argument("--core", type=int, help="the core to stay on")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    gc.disable()  # connections are few and long; what a run leaves is collected at its end
    uvloop.run(serve(options))


if __name__ == "__main__":
    main()

"""A provider that answers in every way that HTTP allows, and in many that it forbids; raw sockets, a process of its own.

A row says itself how it is to be answered: its prompt is `id|way;way;…`, a way for each attempt, the last one for all that
follow. An answer names its row, so that a mismatch is always seen. `HostileProvider` runs it and asks it what it counted.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import trio
from attrs import define, field, frozen

from tests.fakes.hostile_request import Gone, Request
from tests.fakes.hostile_ways import WAYS

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HEAD_LIMIT = 1 << 20
SO_TIMESTAMPNS = 35  # Linux; the kernel then says when bytes came, however late the program comes to read them


@frozen
class Counts:
    """What the provider saw.

    attempts: requests by row id. most_in_flight: unanswered at once. most_per_second: arrivals in the busiest sliding second, by the
    kernel's clock. arrivals, span_seconds: how many came in all, and from the first to the last of them. stray: requests nobody
    can read. keys: what was in the Authorization headers.
    """

    attempts: dict[str, int]
    most_in_flight: int
    most_per_second: int
    arrivals: int
    span_seconds: float
    connections: int
    stray: int
    keys: list[str]


class HostileProvider:
    """The provider in its own process, for as long as the block lasts. base_url: ends in /v1. latency: before every answer, at most."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, latency_seconds: float = 0.0) -> None:
        command = [sys.executable, "-m", "tests.fakes.hostile", host, str(port), str(latency_seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.host = host
        self.port = int(self._process.stdout.readline())
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it: at the end of its stdin it goes."""
        self._process.communicate()

    def counts(self) -> Counts:
        """What it saw since it was last reset."""
        return Counts(**self._ask("/counts"))

    def reset(self) -> None:
        """Forget what was counted."""
        self._ask("/reset")

    def _ask(self, path: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.host, self.port)
        try:
            connection.request("GET", path)
            counts: dict[str, Any] = json.load(connection.getresponse())
        finally:
            connection.close()
        return counts


# ---- its own process ---------------------------------------------------------------------------------------------


@define
class _Book:
    """What is counted. open: the sockets of requests that were not answered yet."""

    attempts: Counter[str] = field(factory=Counter)
    open: set[socket.socket] = field(factory=set)
    most_in_flight: int = 0
    arrivals: list[float] = field(factory=list)
    connections: int = 0
    stray: int = 0
    keys: set[str] = field(factory=set)

    def arrive(self, name: str, sock: socket.socket, key: str, at: float) -> int:
        """Count a request; the number of the attempt, from 0."""
        self.arrivals.append(at)
        self.keys.add(key)
        self.open.add(sock)
        if len(self.open) > self.most_in_flight:
            # A client that gave up has closed before it sends its next request: what is closed is not in flight.
            self.open -= {other for other in self.open if _has_gone(other)}
            self.most_in_flight = max(self.most_in_flight, len(self.open))
        self.attempts[name] += 1
        return self.attempts[name] - 1

    def tell(self) -> dict[str, object]:
        arrivals = sorted(self.arrivals)
        return {
            "attempts": self.attempts,
            "most_in_flight": self.most_in_flight,
            "most_per_second": _most_per_second(arrivals),
            "arrivals": len(arrivals),
            "span_seconds": arrivals[-1] - arrivals[0] if arrivals else 0.0,
            "connections": self.connections,
            "stray": self.stray,
            "keys": sorted(self.keys),
        }


def _most_per_second(arrivals: list[float]) -> int:
    most, first = 0, 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def _has_gone(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


@define
class _Inbox:
    """What came on a connection and was not yet taken. at: when the last of it came, by the kernel's clock."""

    sock: trio.socket.SocketType
    data: bytes = b""
    at: float = 0.0

    async def take_head(self) -> bytes | None:
        """A request's head, or None at the end."""
        while b"\r\n\r\n" not in self.data:
            if len(self.data) > HEAD_LIMIT or not await self._receive():
                return None
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        return head

    async def take(self, length: int) -> bytes | None:
        """So many bytes, or None at the end."""
        while len(self.data) < length:
            if not await self._receive():
                return None
        taken, self.data = self.data[:length], self.data[length:]
        return taken

    async def _receive(self) -> bool:
        try:
            data, ancillary, _, _ = await self.sock.recvmsg(1 << 20, 256)
        except OSError:
            return False
        self.data += data
        stamps = [struct.unpack("qq", value[:16]) for _, kind, value in ancillary if kind == SO_TIMESTAMPNS]
        self.at = stamps[-1][0] + stamps[-1][1] * 1e-9 if stamps else time.time()
        return bool(data)


@define
class _Server:
    latency_seconds: float
    draw: random.Random = field(factory=lambda: random.Random(1))
    book: _Book = field(factory=_Book)

    async def serve(self, stream: trio.SocketStream) -> None:
        """A connection, to its end."""
        self.book.connections += 1
        sock = socket.socket(fileno=socket.dup(stream.socket.fileno()))
        if sys.platform == "linux":
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            await self._answer_all(stream, sock)
        except (trio.BrokenResourceError, trio.ClosedResourceError, Gone):
            pass
        finally:
            self.book.open.discard(sock)
            sock.close()
            await trio.aclose_forcefully(stream)

    async def _answer_all(self, stream: trio.SocketStream, sock: socket.socket) -> None:
        inbox = _Inbox(stream.socket)
        while (head := await inbox.take_head()) is not None:
            first, *lines = head.split(b"\r\n")
            headers = {name.lower(): value.strip() for name, value in (line.split(b":", 1) for line in lines)}
            if first.startswith(b"GET /"):
                await self._tell(stream, first)
                continue
            body = await inbox.take(int(headers[b"content-length"]))
            if body is None:
                return
            name, _, ways = str(json.loads(body)["messages"][0]["content"]).partition("|")
            if first != b"POST /v1/chat/completions HTTP/1.1" or not name:
                self.book.stray += 1
            attempt = self.book.arrive(name, sock, headers.get(b"authorization", b"").decode(), inbox.at)
            await self._answer(stream, sock, name, attempt, ways.split(";"))

    async def _answer(self, stream: trio.SocketStream, sock: socket.socket, name: str, attempt: int, ways: list[str]) -> None:
        way, _, argument = ways[min(attempt, len(ways) - 1)].partition(":")
        way = way if way in WAYS else "plain"
        if self.latency_seconds:
            await trio.sleep(self.draw.random() * self.latency_seconds)
        await WAYS[way](Request(name, attempt, argument, stream, done=lambda: self.book.open.discard(sock)))

    async def _tell(self, stream: trio.SocketStream, first: bytes) -> None:
        told = json.dumps(self.book.tell()).encode()
        if first.startswith(b"GET /reset"):
            self.book = _Book()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told))


async def _main(host: str, port: int, latency_seconds: float) -> None:
    server = _Server(latency_seconds)
    listeners = await trio.open_tcp_listeners(port, host=host, backlog=4096)
    print(listeners[0].socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


def write_rows(path: Path, ways: list[str]) -> None:
    """Rows as OpenAI Batch lines, `row-0`, `row-1` …, each with its ways of being answered."""
    with path.open("w", encoding="utf-8") as file:
        for index, way in enumerate(ways):
            file.write(batch_line(f"row-{index}", way))


def batch_line(name: str, ways: str) -> str:
    """One row as an OpenAI Batch line, with its line end."""
    body = {"model": "m", "messages": [{"role": "user", "content": f"{name}|{ways}"}]}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


if __name__ == "__main__":
    trio.run(_main, sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))

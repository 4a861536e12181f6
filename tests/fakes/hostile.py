"""A provider that answers in every way that HTTP allows, and in many that it forbids; raw sockets, a process of its own.

A row says itself how it is to be answered: its prompt is `id|way;way;…`, a way for each attempt, the last one for all that
follow. An answer names its row, so that a mismatch is always seen. `HostileProvider` runs it and asks it what it counted.
"""

from __future__ import annotations

import http.client
import json
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Self

import trio
from attrs import define, field, frozen

from tests.fakes.hostile_ways import WAYS, Gone, Request

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HEAD_LIMIT = 1 << 20


@frozen
class Counts:
    """What the provider saw.

    attempts: requests by row id. most_in_flight: unanswered at once. most_per_second: arrivals in the busiest sliding second.
    arrivals, span_seconds: how many came in all, and from the first to the last of them. stray: requests nobody can read.
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
    """The provider in its own process, for as long as the block lasts. base_url: ends in /v1."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        command = [sys.executable, "-m", "tests.fakes.hostile", host, str(port)]
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
    most_per_second: int = 0
    last_second: deque[float] = field(factory=deque)
    arrivals: int = 0
    first: float = 0.0
    last: float = 0.0
    connections: int = 0
    stray: int = 0
    keys: set[str] = field(factory=set)

    def arrive(self, name: str, sock: socket.socket, key: str) -> int:
        """Count a request; the number of the attempt, from 0."""
        now = time.monotonic()
        self.arrivals += 1
        self.first = self.first or now
        self.last = now
        self.keys.add(key)
        second = self.last_second
        second.append(now)
        while second[0] <= now - 1.0:
            second.popleft()
        self.most_per_second = max(self.most_per_second, len(second))
        self.open.add(sock)
        if len(self.open) > self.most_in_flight:
            # A client that gave up has closed before it sends its next request: what is closed is not in flight.
            self.open -= {other for other in self.open if _has_gone(other)}
            self.most_in_flight = max(self.most_in_flight, len(self.open))
        self.attempts[name] += 1
        return self.attempts[name] - 1

    def tell(self) -> dict[str, object]:
        return {
            "attempts": self.attempts,
            "most_in_flight": self.most_in_flight,
            "most_per_second": self.most_per_second,
            "arrivals": self.arrivals,
            "span_seconds": self.last - self.first,
            "connections": self.connections,
            "stray": self.stray,
            "keys": sorted(self.keys),
        }


def _has_gone(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))


@define
class _Server:
    book: _Book = field(factory=_Book)

    async def serve(self, stream: trio.SocketStream) -> None:
        """A connection, to its end."""
        self.book.connections += 1
        sock = socket.socket(fileno=socket.dup(stream.socket.fileno()))
        try:
            await self._answer_all(stream, sock)
        except (trio.BrokenResourceError, trio.ClosedResourceError, Gone):
            pass
        finally:
            self.book.open.discard(sock)
            sock.close()
            await trio.aclose_forcefully(stream)

    async def _answer_all(self, stream: trio.SocketStream, sock: socket.socket) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = await stream.receive_some()
                if not more or len(data) > HEAD_LIMIT:
                    return
                data += more
            head, data = data.split(b"\r\n\r\n", 1)
            first, *lines = head.split(b"\r\n")
            headers = {name.lower(): value.strip() for name, value in (line.split(b":", 1) for line in lines)}
            if first.startswith(b"GET /"):
                await self._tell(stream, first)
                continue
            length = int(headers[b"content-length"])
            while len(data) < length:
                more = await stream.receive_some()
                if not more:
                    return
                data += more
            body, data = data[:length], data[length:]
            await self._answer(stream, sock, first, headers, body)

    async def _answer(self, stream: trio.SocketStream, sock: socket.socket, first: bytes, headers: dict[bytes, bytes], body: bytes) -> None:
        try:
            name, _, ways = json.loads(body)["messages"][0]["content"].partition("|")
            wanted = ways.split(";")
        except (ValueError, LookupError):
            self.book.stray += 1
            raise
        if first != b"POST /v1/chat/completions HTTP/1.1":
            self.book.stray += 1
        attempt = self.book.arrive(name, sock, headers.get(b"authorization", b"").decode())
        way, _, argument = wanted[min(attempt, len(wanted) - 1)].partition(":")
        request = Request(name, attempt, argument, stream, done=lambda: self.book.open.discard(sock))
        await WAYS[way](request)

    async def _tell(self, stream: trio.SocketStream, first: bytes) -> None:
        told = json.dumps(self.book.tell()).encode()
        if first.startswith(b"GET /reset"):
            self.book = _Book()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(told), told))


async def _main(host: str, port: int) -> None:
    server = _Server()
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
    trio.run(_main, sys.argv[1], int(sys.argv[2]))

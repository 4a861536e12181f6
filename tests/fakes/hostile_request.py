"""A request to the hostile provider, and what its ways of answering are made of.

A way that returns leaves the connection open; one that closes it raises Gone.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Awaitable, Callable

import trio
from attrs import define

AN_HOUR = 3600.0  # a stall outlasts every deadline


class Gone(Exception):  # noqa: N818  the end of a connection is no error
    """The connection is closed."""


@define
class Request:
    """A request that was read whole. done: tells the book that it is answered, before the last byte leaves."""

    name: str
    attempt: int
    argument: str
    stream: trio.SocketStream
    done: Callable[[], None]

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def finish(self, data: bytes) -> None:
        """The last bytes of an answer."""
        self.done()
        await self.stream.send_all(data)

    async def finish_and_close(self, data: bytes) -> None:
        """The last bytes, and the end of the connection."""
        await self.finish(data)
        await self.stream.aclose()
        raise Gone

    def reset(self) -> None:
        """Close with a RST."""
        self.done()
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()
        raise Gone


Way = Callable[[Request], Awaitable[None]]
WAYS: dict[str, Way] = {}
RESULTS: list[str] = []
PASSING: list[str] = []
LASTING: list[str] = []


def way(kind: list[str], *arguments: str) -> Callable[[Way], Way]:
    """Enter a way under its function's name, once for each argument."""

    def enter(answer: Way) -> Way:
        WAYS[answer.__name__] = answer
        kind.extend([f"{answer.__name__}:{argument}" for argument in arguments] or [answer.__name__])
        return answer

    return enter


def reply(name: str, content: str = "", usage: object = None) -> dict[str, object]:
    """A chat completion that names its row."""
    message = {"role": "assistant", "content": f"answer to {name}{content}"}
    counted = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12} if usage is None else usage
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": f"chatcmpl-{name}", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counted}


def framed(body: bytes, status: str = "200 OK", headers: bytes = b"content-type: application/json\r\n") -> bytes:
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status.encode(), headers, len(body), body)


def body_of(request: Request, content: str = "") -> bytes:
    return json.dumps(reply(request.name, content)).encode()


def error_of(request: Request, code: str | None = None, kind: str = "some_error") -> bytes:
    return json.dumps({"error": {"message": f"no answer to {request.name}", "type": kind, "param": None, "code": code}}).encode()


async def in_pieces(request: Request, data: bytes, size: int, *, last: bytes = b"") -> None:
    request.stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    if last:
        pieces.append(last)
    for piece in pieces[:-1]:
        await request.send(piece)
    await request.finish(pieces[-1])


async def until_given_up(request: Request) -> None:
    with trio.move_on_after(AN_HOUR):
        await request.stream.receive_some()
    request.done()
    raise Gone

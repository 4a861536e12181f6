"""A sender and its servers in one process, over pairs of sockets: by a task for each attempt, or as a light task."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, cast

import trio
from attrs import define, field

from pipeline.edges.http.connection import Connection
from pipeline.edges.http.direct import Counts, DirectSender
from pipeline.edges.http.memory import AnswerMemory
from pipeline.edges.http.pairing import Trust
from pipeline.edges.http.request import RequestHeads
from pipeline.edges.http.watch import Watch
from pipeline.light import Crew
from pipeline.records import Job
from tests.fakes.servers import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pipeline.core.rows.urls import BaseUrl
    from pipeline.edges.http.connect import Dialer
    from pipeline.edges.http.endpoint import Endpoint
    from pipeline.records import Answer, Fault


class PairDialer:
    """Connects to a server in the same process, over a pair of sockets."""

    def __init__(self, endpoint: Endpoint, nursery: trio.Nursery, script: Callable[[Peer], Awaitable[object]]) -> None:
        self._endpoint = endpoint
        self._nursery = nursery
        self._script = script
        self._number = 0

    def set_out(self, base: BaseUrl, now: float) -> None:
        """Nothing: connecting takes a task."""

    async def dial(self, base: BaseUrl, under_way: socket.socket | None = None) -> Connection:
        near, far = socket.socketpair()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(far))
        peer = Peer(stream, self._number)
        self._number += 1
        self._nursery.start_soon(self._serve, peer, stream)
        return Connection(near, self._endpoint.caps)

    async def _serve(self, peer: Peer, stream: trio.SocketStream) -> None:
        try:
            await self._script(peer)
        finally:
            stream.socket.close()


@define(eq=False)
class Talk:
    """Attempts by one sender, one after the other. began, replies: of attempts."""

    sender: DirectSender
    counts: Counts
    crew: Crew
    nursery: trio.Nursery
    light: bool
    began: int = 0
    replies: list[Answer | Fault] = field(factory=list)

    def start(self, bodies: Sequence[bytes], method: str = "POST") -> None:
        """Set to work."""
        if self.light:
            self.crew.start(self._work(bodies, method))
        else:
            self.nursery.start_soon(self._work, bodies, method)

    async def _work(self, bodies: Sequence[bytes], method: str) -> None:
        make = self.sender.attempt if self.light else self.sender.send
        try:
            for number, body in enumerate(bodies):
                self.began += 1
                self.replies.append(await make(Job(number, f"a-{number}", method, "/x", body, 1, 1), f"id-{number}"))
        finally:
            self.sender.close()


@asynccontextmanager
async def talking(endpoint: Endpoint, script: Callable[[Peer], Awaitable[object]], *, light: bool) -> AsyncIterator[Talk]:
    """A talk with servers that run the script on every connection. At the end of the block it is over; an error cuts it off."""
    async with trio.open_nursery() as outer:
        watch = Watch(endpoint.timeouts.idle)
        outer.start_soon(watch.run)
        dialer = cast("Dialer", PairDialer(endpoint, outer, script))
        counts, heads = Counts(), RequestHeads(endpoint, "pairs")
        sender = DirectSender(endpoint, heads=heads, dialer=dialer, watch=watch, counts=counts, memory=AnswerMemory(), trust=Trust())
        async with trio.open_nursery() as inner:
            crew = Crew(inner)
            with closing(crew):
                yield Talk(sender, counts, crew, inner, light)
                await crew.join()
        watch.close()
        outer.cancel_scope.cancel()


def talk(endpoint: Endpoint, script: Callable[[Peer], Awaitable[object]], bodies: Sequence[bytes], *, light: bool) -> list[Answer | Fault]:
    """What becomes of requests with these bodies."""
    made: list[Talk] = []

    async def main() -> None:
        async with talking(endpoint, script, light=light) as talk:
            made.append(talk)
            talk.start(bodies)

    trio.run(main)
    return made[0].replies

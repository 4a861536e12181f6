"""What a connection receives, whether it is told or asks trio."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from pipeline.edges.http.connection import RECEIVE_BYTES, Connection
from pipeline.edges.http.endpoint import Caps
from pipeline.edges.http.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("any_readiness")


@asynccontextmanager
async def linked(*, first: bytes = b"") -> AsyncIterator[tuple[Connection, socket.socket]]:
    """A connection and its far end. first: what has come before the watch knows of it."""
    near, far = socket.socketpair()
    far.sendall(first)
    connection = Connection(near, Caps())
    async with trio.open_nursery() as nursery:
        watch = Watch()
        nursery.start_soon(watch.run)
        watch.add(connection)
        with far:
            yield connection, far
        connection.close()
        watch.close()


async def say(far: socket.socket, word: bytes) -> None:
    await wait_all_tasks_blocked()
    far.sendall(word)


async def everything(connection: Connection) -> bytes:
    data = bytearray()
    while piece := await connection.receive():
        data += piece
    return bytes(data)


async def test_receive_gives_what_came_before_anybody_waited() -> None:
    async with linked(first=b"early") as (connection, _):
        assert await connection.receive() == b"early"


async def test_receive_waits_for_what_comes_later_again_and_again() -> None:
    async with linked() as (connection, far), trio.open_nursery() as nursery:
        for word in (b"one", b"two", b"three"):
            nursery.start_soon(say, far, word)
            assert await connection.receive() == word


async def test_receive_gives_all_up_to_the_end_however_it_came() -> None:
    async with linked(first=b"x" * (2 * RECEIVE_BYTES)) as (connection, far):
        far.shutdown(socket.SHUT_WR)

        assert await everything(connection) == b"x" * (2 * RECEIVE_BYTES)
        assert await connection.receive() == b""


async def test_receive_gives_the_end_that_comes_after_everything_else() -> None:
    async with linked(first=b"last words") as (connection, far):
        assert await connection.receive() == b"last words"
        far.shutdown(socket.SHUT_WR)

        assert await connection.receive() == b""


async def test_receive_is_a_checkpoint_even_if_the_server_never_stops() -> None:
    async with linked(first=b"x" * (2 * RECEIVE_BYTES)) as (connection, far):
        far.shutdown(socket.SHUT_WR)

        for _ in range(4):
            with assert_checkpoints():
                await connection.receive()


async def test_cancelled_receive_loses_nothing() -> None:
    async with linked() as (connection, far):
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.receive()
        far.sendall(b"kept")

        assert await connection.receive() == b"kept"


@pytest.mark.parametrize("how", ["expired", "closed"])
async def test_whoever_waits_is_ended_when_the_connection_is(how: str) -> None:
    async with linked() as (connection, _), trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await connection.receive()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        if how == "expired":
            connection.expire("total")
        else:
            connection.close()


async def test_expired_connection_receives_no_more_though_nobody_waited_then() -> None:
    """A server that drips is heard in the very moment of the deadline, again and again."""
    async with linked(first=b"drip") as (connection, _):
        connection.expire("total")

        with pytest.raises(trio.ClosedResourceError):
            await connection.receive()


@pytest.mark.parametrize("blocked", [False, True])  # the kernel takes nothing at first
@pytest.mark.parametrize("head", [b"", b"head", b"head" * 500_000])  # of the longest it takes only a part
async def test_a_long_request_leaves_in_two_pieces_as_it_would_in_one(head: bytes, *, blocked: bool) -> None:
    body = b"body" * 500_000
    async with linked() as (connection, far):
        before = 0
        while blocked and (rest := connection.start(b"x")) is None:
            before += 1
        rest = connection.start_long(head, body)
        taken = bytearray()

        async def read_all() -> None:
            far.setblocking(False)
            while len(taken) < before + len(head) + len(body):
                await trio.lowlevel.wait_readable(far)
                taken.extend(far.recv(1 << 20))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all)
                assert rest is not None
                assert await connection.finish(rest)

        assert bytes(taken[before:]) == head + body

"""A body is decoded in turns with everybody else, and all bodies together stay within a bound."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pipeline.edges.http.body import JOIN_PIECES, Body
from pipeline.edges.http.endpoint import Caps
from pipeline.edges.http.memory import FREE_BYTES, AnswerMemory
from pipeline.edges.http.response import MalformedResponseError, ResponseReader

if TYPE_CHECKING:
    from collections.abc import Sequence

CAP = 64 << 20


def body_in(memory: AnswerMemory, codings: Sequence[bytes] = (), *, cap: int = CAP) -> Body:
    return Body(codings, cap, memory, wait=memory.wait)


async def whole(body: Body, *pieces: bytes) -> bytes:
    for piece in pieces:
        await body.take([piece])
    return await body.finish()


async def test_pieces_become_one_body() -> None:
    pieces = [b"%d," % number for number in range(3 * JOIN_PIECES + 5)]

    assert await whole(body_in(AnswerMemory()), *pieces) == b"".join(pieces)
    assert await whole(body_in(AnswerMemory())) == b""


async def test_a_long_body_is_put_together_as_it_comes_and_not_copied_at_its_end() -> None:
    size, count = 250_000, 80
    body = body_in(AnswerMemory())

    tracemalloc.start()
    for number in range(count):
        await body.take([bytes([number]) * size])
    content = await body.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert all(content[size * number : size * (number + 1)] == bytes([number]) * size for number in range(count))
    assert len(content) == size * count
    assert peak < 1.5 * len(content)


async def test_coded_body_is_undone_as_it_comes() -> None:
    packed = gzip.compress(b"hello " * 1000)

    assert await whole(body_in(AnswerMemory(), [b"gzip"]), packed[:20], packed[20:]) == b"hello " * 1000


async def test_coded_body_that_is_cut_short_is_refused() -> None:
    with pytest.raises(MalformedResponseError, match="cut short"):
        await whole(body_in(AnswerMemory(), [b"gzip"]), gzip.compress(b"hello")[:-1])


async def test_tiny_chunks_take_no_more_than_a_few_times_their_size() -> None:
    """60 MB in chunks of two bytes took 4 GB: each was an object of its own."""
    reader, body = ResponseReader(Caps()), body_in(AnswerMemory())
    reader.begin()
    chunks = b"2\r\n,0\r\n" * 9000

    tracemalloc.start()
    reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        reader.feed(chunks)
        await body.take(reader.take_chunks())
    content = await body.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert content == b",0" * 900_000
    assert peak < 3 * len(content) + 1_000_000


async def test_others_get_their_turn_while_a_large_body_is_decoded() -> None:
    turns: list[int] = []
    body = body_in(AnswerMemory(), [b"gzip"])

    async def count() -> None:
        while True:
            await trio.lowlevel.checkpoint()
            turns.append(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await body.take([gzip.compress(bytes(20 << 20), 1)])
        nursery.cancel_scope.cancel()

    assert len(turns) >= 15


async def test_decoding_ends_with_its_attempt() -> None:
    class Over(Exception):  # noqa: N818  stands for a deadline
        pass

    def check() -> None:
        raise Over

    body = Body([b"gzip"], CAP, AnswerMemory(), wait=AnswerMemory().wait, check=check)

    with pytest.raises(Over):
        await body.take([gzip.compress(bytes(20 << 20), 1)])


async def test_members_without_content_give_others_their_turn_as_well() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await body_in(AnswerMemory(), [b"gzip"]).take([gzip.compress(b"") * 1000])

    assert scope.cancelled_caught


async def test_small_bodies_are_not_counted() -> None:
    memory = AnswerMemory(limit=0)

    await whole(body_in(memory), bytes(FREE_BYTES))

    assert memory.used == 0


async def test_bodies_beyond_the_bound_wait_for_the_one_that_came_first() -> None:
    memory = AnswerMemory(limit=1_000_000)
    first, second = body_in(memory), body_in(memory)
    done: list[str] = []

    async def grow() -> None:
        await second.take([bytes(800_000)])
        done.append("second")

    await first.take([bytes(700_000)])
    await second.take([bytes(400_000)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(grow)
        await wait_all_tasks_blocked()
        assert done == []
        await first.take([bytes(700_000)])
        done.append("first")
        first.close()
        first.close()

    assert done == ["first", "second"]
    assert memory.used == 1_200_000
    second.close()
    assert memory.used == 0


async def test_any_number_of_large_bodies_ends_within_the_bound() -> None:
    """A deadlock would show as a task that never ends; here every body alone is larger than the bound."""
    memory = AnswerMemory(limit=500_000)
    peak = 0

    async def receive() -> None:
        nonlocal peak
        body = body_in(memory)
        for _ in range(20):
            await body.take([bytes(50_000)])
            peak = max(peak, memory.used)
            await trio.lowlevel.checkpoint()
        body.close()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(receive)

    assert memory.used == 0
    assert peak < 500_000 + 1_000_000 + 30 * FREE_BYTES

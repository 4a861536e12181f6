"""Puts finished rows back in input order.

How many wait in memory is bounded by the credits. A store that keeps rows anyway takes them when they are too many, so that
one slow row neither fills the memory nor holds up the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from msgspec import Struct

from pipeline.core.bookkeeping.reorder import Indexed
from pipeline.stages.groups import take, take_nowait

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.bookkeeping.reorder import ReorderWindow
    from pipeline.ports import Store

T = TypeVar("T", bound=Indexed)

SPILL_BYTES = 16 << 20  # a window of 2 kB lines is 1 MB; one of embeddings or of long answers would be gigabytes
READ_BACK_ROWS = 500  # about 1 MB of 2 kB lines at a time
READ_BACK_BYTES = 4 << 20
FIRST_READ_BACK_ROWS = 16  # until it is known how large they are


class Batch(Struct, Generic[T], frozen=True, eq=False):
    """Rows in the order in which they are to be written. credits: how many to give back once they are."""

    items: list[T]
    credits: int


class Spill(Struct, Generic[T], frozen=True):
    """When rows that wait are left to the store: more than `rows` of them, or more than `bytes` bytes.

    credits: given back at once for the rows that are left there.
    """

    rows: int
    store: Store[T]
    credits: MemorySendChannel[int]
    bytes: int = SPILL_BYTES


async def order(
    recorded: MemoryReceiveChannel[list[T]],
    ordered: MemorySendChannel[Batch[T]],
    *,
    window: ReorderWindow[T],
    spill: Spill[T] | None = None,
) -> None:
    """Pass rows on in the order of their index, in groups, until no more come and the next one is not in the store."""
    with recorded, ordered:
        if spill is None:
            async for group in recorded:
                await _pass_on(window.push(group), ordered)
            return
        with spill.credits:
            await _order_with_spill(recorded, ordered, window, spill)


async def _order_with_spill(
    recorded: MemoryReceiveChannel[list[T]],
    ordered: MemorySendChannel[Batch[T]],
    window: ReorderWindow[T],
    spill: Spill[T],
) -> None:
    most = FIRST_READ_BACK_ROWS
    size = 0  # of what waits in memory
    while True:
        first, count = window.take_held(most)
        try:
            # While rows are read back, those that come are taken in between: they must not stall the recorder.
            groups = take_nowait(recorded) if count else await take(recorded)
        except trio.EndOfChannel:
            return
        if count:
            back = await spill.store.read_back(first, count)
            most = _rows_that_fit(back, spill)
            await ordered.send(Batch(back, 0))
        items = [item for group in groups for item in group]
        ready = window.push(items)
        size = size + spill.store.size_of(items) - spill.store.size_of(ready) if len(window) else 0
        await _pass_on(ready, ordered)
        if len(window) > spill.rows or size > spill.bytes:
            _give_back(spill.credits, window.spill())
            size = 0


def _rows_that_fit(rows: list[T], spill: Spill[T]) -> int:
    """How many rows like these make READ_BACK_BYTES."""
    size = spill.store.size_of(rows)
    return max(1, min(READ_BACK_ROWS, READ_BACK_BYTES * len(rows) // max(1, size)))


async def pass_on(recorded: MemoryReceiveChannel[list[T]], ordered: MemorySendChannel[Batch[T]]) -> None:
    """What runs in place of `order` where rows may leave in the order of completion."""
    with recorded, ordered:
        async for group in recorded:
            await _pass_on(group, ordered)


def _give_back(credits_: MemorySendChannel[int], count: int) -> None:
    try:
        credits_.send_nowait(count)
    except trio.BrokenResourceError:
        pass  # the reader has read all there is and needs no credit


async def _pass_on(ready: list[T], ordered: MemorySendChannel[Batch[T]]) -> None:
    if ready:
        await ordered.send(Batch(ready, len(ready)))

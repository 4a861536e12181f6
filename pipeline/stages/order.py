"""Puts finished rows back in input order.

How many wait in memory is bounded: by the credits, and, where a journal keeps them too, by leaving them to it, so that
one slow row neither fills the memory nor stalls the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import define, frozen

from pipeline.core.reorder import Indexed
from pipeline.stages.groups import take, take_nowait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.reorder import ReorderWindow

T = TypeVar("T", bound=Indexed)

READ_BACK_ROWS = 500  # about 1 MB of 2 kB lines at a time


@define(eq=False)
class Batch(Generic[T]):
    """Rows in the order in which they are to be written. credits: how many to give back once they are."""

    items: list[T]
    credits: int


@frozen
class Spill(Generic[T]):
    """Where rows wait that are too many for memory. rows: more than so many are left there.

    read_back: the rows `[first, first + count)`, all of which were left there. credits: given back at once for them.
    """

    rows: int
    read_back: Callable[[int, int], Awaitable[list[T]]]
    credits: MemorySendChannel[int]


async def order(
    recorded: MemoryReceiveChannel[list[T]],
    ordered: MemorySendChannel[Batch[T]],
    *,
    window: ReorderWindow[T],
    spill: Spill[T] | None = None,
) -> None:
    """Pass rows on in the order of their index, in groups, until no more come and none that is next waits elsewhere."""
    with recorded, ordered:
        if spill is None:
            async for group in recorded:
                await _pass_on(window.push(group), ordered)
            return
        with spill.credits:
            while True:
                first, count = window.take_held(READ_BACK_ROWS)
                try:
                    # While rows are read back, those that come are taken in between: they must not stall the recorder.
                    groups = take_nowait(recorded) if count else await take(recorded)
                except trio.EndOfChannel:
                    return
                if count:
                    await ordered.send(Batch(await spill.read_back(first, count), 0))
                await _pass_on(window.push(item for group in groups for item in group), ordered)
                if len(window) > spill.rows:
                    _give_back(spill.credits, window.spill())


async def pass_on(recorded: MemoryReceiveChannel[list[T]], ordered: MemorySendChannel[Batch[T]]) -> None:
    """Stand in for `order` where rows may leave in the order in which they ended."""
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

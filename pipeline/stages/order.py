"""Puts outcomes back in input order. How many may wait here is bounded by the credits, not by this stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.reorder import ReorderWindow
    from pipeline.records import Outcome


async def order(
    recorded: MemoryReceiveChannel[list[Outcome]],
    ordered: MemorySendChannel[list[Outcome]],
    *,
    window: ReorderWindow,
) -> None:
    """Pass outcomes on in the order of their index, in groups."""
    with recorded, ordered:
        async for group in recorded:
            ready = window.push(group)
            if ready:
                await ordered.send(ready)

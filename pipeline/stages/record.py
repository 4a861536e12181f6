"""Puts outcomes in the journal as they come, before they are ordered: a slow head row must not put paid-for answers at risk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from pipeline.stages.groups import take

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.records import Outcome


async def record(
    outcomes: MemoryReceiveChannel[Outcome],
    recorded: MemorySendChannel[list[Outcome]],
    *,
    store: Callable[[list[Outcome]], Awaitable[None]] | None = None,
) -> None:
    """Make outcomes durable, then pass them on in groups.

    store: makes a group durable before it returns; None passes everything on as it is.
    """
    with outcomes, recorded:
        while True:
            try:
                group = await take(outcomes)
            except trio.EndOfChannel:
                return
            if store is not None:
                await store(group)
            await recorded.send(group)

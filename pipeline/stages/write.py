"""The last stage: has finished rows written and gives their credits back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from pipeline.stages.groups import take

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.ports import Store, T
    from pipeline.stages.order import Batch


async def write(
    ordered: MemoryReceiveChannel[Batch[T]],
    *,
    store: Store[T],
    credits: MemorySendChannel[int],  # noqa: A002  the field's word
) -> None:
    """Write every row once, in the order in which they come.

    credits: must have room for a message per row in memory, so that giving back never waits.
    Cancellation: groups that are not written yet are not in the output.
    """
    with ordered, credits:
        while True:
            try:
                batches = await take(ordered)
            except trio.EndOfChannel:
                return
            await store.write([item for batch in batches for item in batch.items])
            back = sum(batch.credits for batch in batches)
            try:
                if back:
                    credits.send_nowait(back)
            except trio.BrokenResourceError:
                pass  # the reader has read all there is and needs no credit

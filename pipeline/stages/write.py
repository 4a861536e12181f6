"""The last stage: hands outcomes to the sink, counts them, and gives their credits back."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Protocol

import trio

from pipeline.stages.groups import take, take_nowait

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.ledger import Ledger
    from pipeline.records import Outcome

LINGER_SECONDS = 0.010  # the visit to a thread costs more than the write: a group of 10 ms makes it cheap
LINGER_WINDOW = 256  # below so many rows in the house, the linger itself would bound the speed


class Emitter(Protocol):
    """Where finished rows go."""

    async def emit(self, outcomes: list[Outcome]) -> None:
        """Hand over a group; it has left the house when this returns."""

    def emit_now(self, outcomes: list[Outcome]) -> None:
        """The same without waiting, for the moment of a cancellation; may do nothing where that cannot be."""


async def write(
    ordered: MemoryReceiveChannel[list[Outcome]],
    *,
    emitter: Emitter,
    credits: MemorySendChannel[int],  # noqa: A002  the field's word
    ledger: Ledger,
    linger: bool,
) -> None:
    """Emit every outcome once, in the order in which they come.

    credits: must have room for a message a row in the house, so that giving back never waits.
    Cancellation: the group in hand is still emitted; groups in the channel are lost.
    """
    with ordered, credits:
        while True:
            try:
                group = list(chain.from_iterable(await take(ordered)))
            except trio.EndOfChannel:
                return
            if linger:
                try:
                    await trio.sleep(LINGER_SECONDS)
                except trio.Cancelled:
                    group.extend(chain.from_iterable(take_nowait(ordered)))
                    emitter.emit_now(group)
                    ledger.add(group)
                    raise
                group.extend(chain.from_iterable(take_nowait(ordered)))
            await emitter.emit(group)
            ledger.add(group)
            try:
                credits.send_nowait(len(group))
            except trio.BrokenResourceError:
                pass  # the reader has read all there is and needs no credit

"""Puts outcomes in the journal as they come, before they are ordered: a slow head row must not put paid-for answers at risk."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from pipeline.stages.groups import take_nowait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.ledger import Ledger
    from pipeline.records import Outcome

T = TypeVar("T")

LINGER_SECONDS = 0.010  # the visit to a thread costs more than the work there: a group of 10 ms makes it cheap
GROUP_BYTES = 8 << 20  # a group is in memory three times while it is stored; long answers must not make it long as well
LINGER_WINDOW = 256  # rows; in a smaller house the linger itself would bound the speed


async def record(
    outcomes: MemoryReceiveChannel[Outcome],
    recorded: MemorySendChannel[list[T]],
    *,
    store: Callable[[list[Outcome]], Awaitable[list[T]]],
    store_now: Callable[[list[Outcome]], None],
    ledger: Ledger,
    linger: bool,
) -> None:
    """Make outcomes durable, count them, and pass on in groups what the later stages are to have of them.

    store: makes a group durable before it returns, and does nothing where it heeds a cancellation. linger: let the next
    group gather for a moment.
    Cancellation, or a neighbour that has gone: what has arrived is still made durable, through `store_now`, which does not wait.
    """
    group: list[Outcome] = []
    with outcomes, recorded:
        try:
            while True:
                group = [await outcomes.receive()]
                if linger:
                    await trio.sleep(LINGER_SECONDS)
                _gather(outcomes, group)
                items = await store(group)
                ledger.add(group)
                group = []
                await recorded.send(items)
        except trio.EndOfChannel:
            return
        except (trio.Cancelled, trio.BrokenResourceError):
            group += take_nowait(outcomes)
            if group:
                store_now(group)
                ledger.add(group)
            raise


def _gather(outcomes: MemoryReceiveChannel[Outcome], group: list[Outcome]) -> None:
    """Add what has arrived to a group, up to GROUP_BYTES."""
    size = len(group[0].body or b"")
    try:
        while size < GROUP_BYTES:
            outcome = outcomes.receive_nowait()
            group.append(outcome)
            size += len(outcome.body or b"")
    except (trio.WouldBlock, trio.EndOfChannel):
        return

"""Makes outcomes durable as they arrive, before they are put in order: a slow first row must not put paid answers at risk."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from pipeline.stages.groups import take_nowait

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.bookkeeping.ledger import Ledger
    from pipeline.ports import Reuse, Store, T
    from pipeline.records import Outcome
    from pipeline.stages.mailbox import Inbox
    from pipeline.stages.room import Room

SETTLE_SECONDS = 0.2  # without an outcome, until what is under way is stored as well: somebody may look at the journal
GROUP_BYTES = 8 << 20  # a group is in memory up to three times while it is stored


async def record(
    outcomes: MemoryReceiveChannel[Outcome] | Inbox[Outcome],
    recorded: MemorySendChannel[list[T]],
    *,
    store: Store[T],
    ledger: Ledger,
    linger_seconds: float,
    enough: int = 0,
    reuse: Reuse | None = None,
    room: Room | None = None,
) -> None:
    """Make outcomes durable, count them, and pass on in groups what the store gives for them.

    linger_seconds: how long a group gathers; not at all behind a group that was full. It goes on while more arrive, as often as the store
    allows, until it has `enough` rows: a slow run need not pay for twenty groups a second. reuse: gives the outcomes of rows that
    waited for one of these. room: is told of rows that wait no more.
    Cancellation, or a later stage that has ended: what has arrived is still made durable, by `record_now`, which does not wait.
    """
    group: list[Outcome] = []
    settled = True
    full = False  # the last group did not take all that had arrived
    with outcomes, recorded:
        try:
            while True:
                with trio.move_on_after(inf if settled else SETTLE_SECONDS):
                    group = [await outcomes.receive()]
                full = bool(group) and await _gather(outcomes, group, 0.0 if full else linger_seconds, enough, store)
                if reuse is not None and group:
                    group += await reuse.finished(group)
                if room is not None:
                    room.finish(group)
                items = await store.record(group)
                settled = not group
                ledger.add(group)
                group = []
                if items:
                    await recorded.send(items)
        except trio.EndOfChannel:
            return
        except (trio.Cancelled, trio.BrokenResourceError):
            group += take_nowait(outcomes)
            if group:
                store.record_now(group)
                ledger.add(group)
            raise


async def _gather(
    outcomes: MemoryReceiveChannel[Outcome] | Inbox[Outcome], group: list[Outcome], seconds: float, enough: int, store: Store[T]
) -> bool:
    """Add what arrives to a group, up to GROUP_BYTES; whether it is full. Cancellation: what was taken is in the group."""
    size = sum(len(outcome.body or b"") for outcome in group)
    for _ in range(store.lingers):
        if seconds:
            await trio.sleep(seconds)
        before = len(group)
        size = _take(outcomes, group, size)
        if not seconds or size >= GROUP_BYTES or len(group) == before or len(group) >= enough or store.is_behind:
            break
    return size >= GROUP_BYTES


def _take(outcomes: MemoryReceiveChannel[Outcome] | Inbox[Outcome], group: list[Outcome], size: int) -> int:
    """Add what has arrived to a group of this size in bytes, up to GROUP_BYTES; its size then."""
    try:
        while size < GROUP_BYTES:
            outcome = outcomes.receive_nowait()
            group.append(outcome)
            size += len(outcome.body or b"")
    except (trio.WouldBlock, trio.EndOfChannel):
        pass
    return size

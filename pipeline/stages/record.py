"""Makes outcomes durable as they arrive, before they are put in order: a slow first row must not put paid answers at risk."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

import trio

from pipeline.stages.groups import take_nowait
from pipeline.stages.mailbox import Inbox

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.core.bookkeeping.ledger import Ledger
    from pipeline.ports import Reuse, Store, T
    from pipeline.records import Outcome
    from pipeline.stages.room import Room

QUIET_SECONDS = 10.0  # between two commits while no outcome comes: `status` shows what the run waits for
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

    linger_seconds: how long a group gathers; not at all behind a group that was full, nor once no more will come. If the last group had
    more than one row, the next one gathers longer, as long as the store allows and it will hardly have more than `enough` rows: a
    slow run need not pay for twenty groups a second. reuse: gives the outcomes of rows that waited for one of these. room: is told of
    rows that wait no more.
    Cancellation, or a later stage that has ended: what has arrived is still made durable, by `record_now`, which does not wait.
    """
    group: list[Outcome] = []
    settled = True
    full = False  # the last group did not take all that had arrived
    pace = 0.0  # rows that arrived in `linger_seconds` for the last group, if it had several
    wait = outcomes.ended.wait if isinstance(outcomes, Inbox) else trio.sleep_forever
    with outcomes, recorded:
        try:
            while True:
                with trio.move_on_after(QUIET_SECONDS if settled else SETTLE_SECONDS):
                    group = [await outcomes.receive()]
                if not group:
                    full = False
                elif linger_seconds and not full:
                    lingers = 1 if not pace or store.is_behind else max(1, min(store.lingers, int(enough / pace)))
                    with trio.move_on_after(lingers * linger_seconds):
                        await wait()
                    full = _gather(outcomes, group)
                    pace = len(group) / lingers if len(group) > 1 else 0.0
                else:
                    full = _gather(outcomes, group)
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


def _gather(outcomes: MemoryReceiveChannel[Outcome] | Inbox[Outcome], group: list[Outcome]) -> bool:
    """Add what has arrived to a group, up to GROUP_BYTES; whether it is full."""
    size = sum([len(outcome.body or b"") for outcome in group])
    if isinstance(outcomes, Inbox):
        more = outcomes.take_nowait()
        sizes = list(accumulate([len(outcome.body or b"") for outcome in more], initial=size))  # in front of each, and of all
        fit = bisect_left(sizes, GROUP_BYTES)
        outcomes.put_back(more[fit:])
        group += more[:fit]
        return fit < len(sizes)
    try:
        while size < GROUP_BYTES:
            outcome = outcomes.receive_nowait()
            group.append(outcome)
            size += len(outcome.body or b"")
    except (trio.WouldBlock, trio.EndOfChannel):
        return False
    return True

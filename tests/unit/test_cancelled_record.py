"""The recorder under cancellation: what has arrived is durable, and what is counted as recorded is recorded."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.records import NO_USAGE, Outcome, Success
from pipeline.stages.record import record


def success(index: int) -> Success:
    return Success(index, f"row-{index}", 200, None, b"{}", NO_USAGE, 1, 0.1)


class Store:
    """Keeps what it is given; `record` takes its time, and heeds a cancellation before it begins."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.storing = trio.Event()

    async def record(self, outcomes: list[Outcome]) -> list[int]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self.storing.set()
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        self.record_now(outcomes)
        return self.kept

    def record_now(self, outcomes: list[Outcome]) -> None:
        self.kept += [outcome.index for outcome in outcomes]


async def test_outcomes_that_came_before_a_cancellation_are_all_recorded(autojump_clock: trio.testing.MockClock) -> None:
    for seconds in (0.01, 0.0):
        give, take = trio.open_memory_channel[Outcome](10)
        keep, kept = trio.open_memory_channel[list[int]](10)
        store, ledger = Store(), Ledger()

        with kept, give:
            async with trio.open_nursery() as nursery:
                give.send_nowait(success(0))
                stage = partial(record, take, keep, store=store.record, store_now=store.record_now, ledger=ledger, linger_seconds=seconds)
                nursery.start_soon(stage)
                await store.storing.wait()
                give.send_nowait(success(1))  # while the thread is at it
                nursery.cancel_scope.cancel()

        assert store.kept == [0, 1]
        assert ledger.total == 2


async def test_a_cancellation_before_the_store_begins_loses_nothing() -> None:
    give, take = trio.open_memory_channel[Outcome](10)
    keep, kept = trio.open_memory_channel[list[int]](10)
    store, ledger = Store(), Ledger()
    with kept, give, trio.CancelScope() as scope:
        give.send_nowait(success(0))
        scope.cancel()
        await record(take, keep, store=store.record, store_now=store.record_now, ledger=ledger, linger_seconds=0.0)

    assert store.kept == [0]
    assert ledger.total == 1

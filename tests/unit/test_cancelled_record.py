"""The recorder under cancellation: what has arrived is durable, and what is counted as recorded is recorded."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing
from attrs import define, field

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.records import NO_USAGE, Outcome, Success
from pipeline.stages.record import record
from tests.fakes.stores import FakeStore


def success(index: int) -> Success:
    return Success(index, f"row-{index}", 200, None, b"{}", NO_USAGE, 1, 0.1)


@define(eq=False)
class SlowStore(FakeStore):
    """`record` takes a second, and is cancelled before it begins or not at all."""

    storing: trio.Event = field(factory=trio.Event)

    async def record(self, outcomes: list[Outcome]) -> list[Outcome]:
        await trio.lowlevel.checkpoint_if_cancelled()
        self.storing.set()
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        self.record_now(outcomes)
        return outcomes


async def test_outcomes_that_came_before_a_cancellation_are_all_recorded(autojump_clock: trio.testing.MockClock) -> None:
    for seconds in (0.01, 0.0):
        give, take = trio.open_memory_channel[Outcome](10)
        keep, kept = trio.open_memory_channel[list[Outcome]](10)
        store, ledger = SlowStore(), Ledger()

        with kept, give:
            async with trio.open_nursery() as nursery:
                give.send_nowait(success(0))
                stage = partial(record, take, keep, store=store, ledger=ledger, linger_seconds=seconds)
                nursery.start_soon(stage)
                await store.storing.wait()
                give.send_nowait(success(1))  # while the thread is at it
                nursery.cancel_scope.cancel()

        assert list(store.recorded) == [0, 1]
        assert ledger.total == 2


async def test_a_cancellation_before_the_store_begins_loses_nothing() -> None:
    give, take = trio.open_memory_channel[Outcome](10)
    keep, kept = trio.open_memory_channel[list[Outcome]](10)
    store, ledger = SlowStore(), Ledger()
    with kept, give, trio.CancelScope() as scope:
        give.send_nowait(success(0))
        scope.cancel()
        await record(take, keep, store=store, ledger=ledger, linger_seconds=0.0)

    assert list(store.recorded) == [0]
    assert ledger.total == 1

"""The order stage by itself: rows leave in input order, whoever else has ended already."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing

from pipeline.core.bookkeeping.reorder import ReorderWindow
from pipeline.records import NO_USAGE, Outcome, Success
from pipeline.stages.order import FIRST_READ_BACK_ROWS, READ_BACK_BYTES, Batch, Spill, order
from tests.fakes.stores import FakeStore


def outcome_of(index: int) -> Outcome:
    return Success(index, f"row-{index}", 200, None, b"{}", NO_USAGE, 1, 0.1)


async def test_rows_left_in_the_store_come_back_although_the_reader_has_ended_and_takes_no_credits() -> None:
    send_recorded, recorded = trio.open_memory_channel[list[Outcome]](20)
    send_ordered, ordered = trio.open_memory_channel[Batch[Outcome]](20)
    give, reader_end = trio.open_memory_channel[int](20)
    reader_end.close()
    store = FakeStore()

    for index in (1, 2, 3, 4, 5, 0):
        send_recorded.send_nowait(await store.record([outcome_of(index)]))
    send_recorded.close()
    await order(recorded, send_ordered, window=ReorderWindow(), spill=Spill(2, store, give))

    assert [row.index async for batch in ordered for row in batch.items] == [0, 1, 2, 3, 4, 5]


async def test_long_rows_are_left_in_the_store_by_their_bytes_and_read_back_by_their_bytes() -> None:
    send_recorded, recorded = trio.open_memory_channel[list[Outcome]](200)
    send_ordered, ordered = trio.open_memory_channel[Batch[Outcome]](200)
    give, credits_ = trio.open_memory_channel[int](200)
    store = FakeStore(size=READ_BACK_BYTES // 4)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(order, recorded, send_ordered, window=ReorderWindow(), spill=Spill(1000, store, give)))
        for index in (*range(1, 60), 0):
            await trio.testing.wait_all_tasks_blocked()
            send_recorded.send_nowait(await store.record([outcome_of(index)]))
        send_recorded.close()

    assert [row.index async for batch in ordered for row in batch.items] == list(range(60))
    given_back = sum([count async for count in credits_])
    assert sum(store.asked) == given_back > 50
    assert store.asked[:3] == [FIRST_READ_BACK_ROWS, 4, 4]

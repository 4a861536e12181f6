"""The order stage by itself: rows leave in input order, whoever else has ended already."""

from __future__ import annotations

from functools import partial

import trio
import trio.testing
from attrs import define

from pipeline.core.bookkeeping.reorder import ReorderWindow
from pipeline.stages.order import FIRST_READ_BACK_ROWS, READ_BACK_BYTES, Batch, Spill, order


@define
class Row:
    index: int


async def test_rows_left_elsewhere_come_back_although_the_reader_has_ended_and_takes_no_credits() -> None:
    send_recorded, recorded = trio.open_memory_channel[list[Row]](20)
    send_ordered, ordered = trio.open_memory_channel[Batch[Row]](20)
    give, reader_end = trio.open_memory_channel[int](20)
    reader_end.close()

    async def read_back(first: int, count: int) -> list[Row]:
        await trio.lowlevel.checkpoint()
        return [Row(index) for index in range(first, first + count)]

    for index in (1, 2, 3, 4, 5, 0):
        send_recorded.send_nowait([Row(index)])
    send_recorded.close()
    await order(recorded, send_ordered, window=ReorderWindow(), spill=Spill(2, lambda _: 1, read_back, give))

    assert [row.index async for batch in ordered for row in batch.items] == [0, 1, 2, 3, 4, 5]


async def test_long_rows_are_left_elsewhere_by_their_bytes_and_read_back_by_their_bytes() -> None:
    send_recorded, recorded = trio.open_memory_channel[list[Row]](200)
    send_ordered, ordered = trio.open_memory_channel[Batch[Row]](200)
    give, credits_ = trio.open_memory_channel[int](200)
    asked: list[int] = []

    async def read_back(first: int, count: int) -> list[Row]:
        await trio.lowlevel.checkpoint()
        asked.append(count)
        return [Row(index) for index in range(first, first + count)]

    spill = Spill(1000, lambda _: READ_BACK_BYTES // 4, read_back, give)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(order, recorded, send_ordered, window=ReorderWindow(), spill=spill))
        for index in (*range(1, 60), 0):
            await trio.testing.wait_all_tasks_blocked()
            send_recorded.send_nowait([Row(index)])
        send_recorded.close()

    assert [row.index async for batch in ordered for row in batch.items] == list(range(60))
    given_back = sum([count async for count in credits_])
    assert sum(asked) == given_back > 50
    assert asked[:3] == [FIRST_READ_BACK_ROWS, 4, 4]

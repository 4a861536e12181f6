"""The order stage by itself: rows leave in input order, whoever else has ended already."""

from __future__ import annotations

import trio
from attrs import define

from pipeline.core.reorder import ReorderWindow
from pipeline.stages.order import Batch, Spill, order


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
    await order(recorded, send_ordered, window=ReorderWindow(), spill=Spill(2, read_back, give))

    assert [row.index async for batch in ordered for row in batch.items] == [0, 1, 2, 3, 4, 5]

"""The record stage by itself: groups are as large as what has arrived, and no larger than memory bears."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.records import NO_USAGE, Outcome, Success
from pipeline.stages.record import GROUP_BYTES, record
from tests.fakes.stores import FakeStore


async def _groups(body: bytes, rows: int, *, linger_seconds: float) -> list[int]:
    """The sizes of the groups in which rows that have all arrived are stored."""
    send_outcome, outcomes = trio.open_memory_channel[Outcome](rows)
    send_recorded, recorded = trio.open_memory_channel[list[Outcome]](rows)
    store, ledger = FakeStore(), Ledger()
    for index in range(rows):
        send_outcome.send_nowait(Success(index, f"row-{index}", 200, None, body, NO_USAGE, 1, 0.1))
    send_outcome.close()
    await record(outcomes, send_recorded, store=store, ledger=ledger, linger_seconds=linger_seconds)
    passed_on = [outcome.index async for group in recorded for outcome in group]

    assert passed_on == list(range(rows))
    assert ledger.total == rows
    return [len(group) for group in store.groups]


async def test_short_rows_go_in_one_group(autojump_clock: trio.testing.MockClock) -> None:
    assert await _groups(b"{}", 500, linger_seconds=0.01) == [500]


async def test_long_rows_go_in_groups_that_memory_bears(autojump_clock: trio.testing.MockClock) -> None:
    assert await _groups(bytes(GROUP_BYTES // 4), 10, linger_seconds=0.01) == [4, 4, 2]
    assert await _groups(bytes(GROUP_BYTES * 2), 3, linger_seconds=0.0) == [1, 1, 1]


async def test_nothing_is_waited_for_behind_a_full_group(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()

    assert await _groups(bytes(GROUP_BYTES), 20, linger_seconds=1.0) == [1] * 20

    assert trio.current_time() - began == pytest.approx(1.0)

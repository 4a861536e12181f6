"""The record stage by itself: groups are as large as what has arrived, and no larger than memory bears."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.records import NO_USAGE, Outcome, Success
from pipeline.stages.mailbox import Mailbox
from pipeline.stages.record import GROUP_BYTES, record
from tests.fakes.stores import FakeStore

CHANNELS = pytest.mark.parametrize("mailbox", [True, False], ids=["mailbox", "memory-channel"])


async def _groups(body: bytes, rows: int, *, linger_seconds: float, mailbox: bool) -> list[int]:
    """The sizes of the groups in which rows that have all arrived are stored."""
    ends: tuple[Any, Any] = Mailbox[Outcome](rows).ends() if mailbox else trio.open_memory_channel[Outcome](rows)
    send_outcome, outcomes = ends
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


@CHANNELS
async def test_short_rows_go_in_one_group(autojump_clock: trio.testing.MockClock, *, mailbox: bool) -> None:
    assert await _groups(b"{}", 500, linger_seconds=0.01, mailbox=mailbox) == [500]


@CHANNELS
async def test_long_rows_go_in_groups_that_memory_bears(autojump_clock: trio.testing.MockClock, *, mailbox: bool) -> None:
    assert await _groups(bytes(GROUP_BYTES // 4), 10, linger_seconds=0.01, mailbox=mailbox) == [4, 4, 2]
    assert await _groups(bytes(GROUP_BYTES * 2), 3, linger_seconds=0.0, mailbox=mailbox) == [1, 1, 1]


async def _when_recorded(store: FakeStore, gaps: list[float], enough: int) -> list[tuple[float, int]]:
    """When groups are recorded, and how large they are, where rows arrive with these gaps between them; a group gathers for a second."""
    send_outcome, outcomes = Mailbox[Outcome](len(gaps)).ends()
    send_recorded, recorded = trio.open_memory_channel[list[Outcome]](len(gaps))
    groups: list[tuple[float, int]] = []

    async def arrive() -> None:
        with send_outcome:
            for index, gap in enumerate(gaps):
                await trio.sleep(gap)
                send_outcome.send_nowait(Success(index, f"row-{index}", 200, None, b"{}", NO_USAGE, 1, 0.1))

    async def look() -> None:
        began = trio.current_time()
        groups.extend([(round(trio.current_time() - began, 3), len(group)) async for group in recorded])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        nursery.start_soon(look)
        await record(outcomes, send_recorded, store=store, ledger=Ledger(), linger_seconds=1.0, enough=enough)
    return groups


async def test_a_group_gathers_longer_if_the_last_one_had_several_rows(autojump_clock: trio.testing.MockClock) -> None:
    gaps = [0.6] * 20

    assert await _when_recorded(FakeStore(lingers=5), gaps, 100) == [(1.6, 2), (6.8, 9), (12.0, 9)]
    assert (await _when_recorded(FakeStore(lingers=1), gaps, 100))[:2] == [(1.6, 2), (2.8, 2)]


async def test_a_row_of_its_own_waits_no_longer(autojump_clock: trio.testing.MockClock) -> None:
    assert await _when_recorded(FakeStore(lingers=5), [0.0, 3.0, 3.0], 100) == [(1.0, 1), (4.0, 1), (6.0, 1)]


async def test_a_group_gathers_no_longer_than_until_it_is_enough_or_the_store_is_behind(autojump_clock: trio.testing.MockClock) -> None:
    gaps = [0.6] * 20

    assert (await _when_recorded(FakeStore(lingers=5), gaps, 4))[:2] == [(1.6, 2), (3.8, 4)]
    assert (await _when_recorded(FakeStore(lingers=5), gaps, 1))[:2] == [(1.6, 2), (2.8, 2)]
    assert (await _when_recorded(FakeStore(lingers=5, is_behind=True), gaps, 100))[:2] == [(1.6, 2), (2.8, 2)]


async def test_nothing_is_waited_for_behind_a_full_group(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()

    assert await _groups(bytes(GROUP_BYTES), 20, linger_seconds=1.0, mailbox=False) == [1] * 20

    assert trio.current_time() - began == pytest.approx(1.0)


async def test_nothing_is_waited_for_when_no_more_will_come(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()

    assert await _groups(b"{}", 500, linger_seconds=1.0, mailbox=True) == [500]

    assert trio.current_time() == began


async def test_the_journal_is_kept_up_to_date_while_no_outcome_comes(autojump_clock: trio.testing.MockClock) -> None:
    """`status` showed what a run had waited for when its last answer came, for as long as its provider was out of reach."""
    store = FakeStore()

    assert [count for _, count in await _when_recorded(store, [0.0, 45.0], 100)] == [1, 1]

    assert [len(group) for group in store.groups] == [1, 0, 0, 0, 0, 0, 1]  # what is under way soon, then every ten seconds

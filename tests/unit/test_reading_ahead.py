"""The reader and the rows that cannot leave yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock

from pipeline.core.rows.lines import RawRow
from pipeline.messages import GateMessage
from pipeline.records import Failure, Job, Outcome
from pipeline.stages.mailbox import Mailbox
from pipeline.stages.pass_through import PassThrough
from pipeline.stages.read import AHEAD_ROWS, AHEAD_SECONDS, SLICE_ROWS, ReadTally, read

if TYPE_CHECKING:
    from collections.abc import Sequence


ROWS = AHEAD_ROWS + 6 * SLICE_ROWS


def seconds_to_read(*, leave_at_once: bool) -> float:
    """How long it takes to read all rows, of which either all leave at once or none."""
    left = ROWS
    sent = 0

    async def take_rows(most: int) -> list[RawRow]:
        nonlocal left
        taken = min(most, left)
        left -= taken
        return [RawRow(1, 0, b"{}")] * taken

    def make_jobs(rows: list[RawRow], first: int) -> Sequence[Job | Failure]:
        nonlocal sent
        sent += len(rows)
        return [Job(first + number, f"row-{first + number}", "POST", "/x", b"{}", 1, 1) for number in range(len(rows))]

    async def emit(outcomes: list[Outcome]) -> None:
        assert not outcomes

    async def main() -> float:
        give, credits_ = trio.open_memory_channel[int](1)
        give.send_nowait(2 * ROWS)
        jobs, _inbox = Mailbox[GateMessage](ROWS).ends()
        outcomes, _recorded = Mailbox[Outcome](ROWS).ends()
        tally = ReadTally()
        began = trio.current_time()
        await read(
            take_rows,
            make_jobs,
            store=PassThrough(emit),
            credits=credits_,
            jobs=jobs,
            outcomes=outcomes,
            tally=tally,
            ahead=lambda: 0 if leave_at_once else sent,
        )
        assert tally.rows == ROWS
        return trio.current_time() - began

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_reader_takes_its_time_while_many_rows_wait_to_leave() -> None:
    """Else it reads all that may be in memory while the first requests leave, and takes the CPU from them."""
    assert seconds_to_read(leave_at_once=False) == pytest.approx(6 * AHEAD_SECONDS)


def test_reader_does_not_wait_while_rows_leave_as_fast_as_they_are_read() -> None:
    assert seconds_to_read(leave_at_once=True) == 0.0

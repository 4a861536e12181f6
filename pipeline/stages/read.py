"""The first stage: turns rows of the input into jobs, one credit a row.

A bad row becomes a finished `Failure` that takes its place in the order; it never stops the run.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import trio
from attrs import define

from pipeline.records import Job
from pipeline.stages.groups import take

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.edges.rows import RawRow
    from pipeline.records import Failure, Outcome, Report

SLICE_ROWS = 256  # rows taken from the input in one visit to a thread: its 0.2 ms is then below 1 µs a row


class Notice(Enum):
    """What the gate is told that is neither a job nor a report."""

    END_OF_INPUT = auto()
    STOP = auto()


GateMessage = "list[Job] | Report | Notice"


@define(eq=False)
class ReadTally:
    """rows: how many were read. ended: the whole input was."""

    rows: int = 0
    ended: bool = False


async def read(
    take_rows: Callable[[int], list[RawRow]],
    make_jobs: Callable[[list[RawRow], int], Sequence[Job | Failure]],
    *,
    credits: MemoryReceiveChannel[int],  # noqa: A002  the field's word
    jobs: MemorySendChannel[list[Job] | Report | Notice],
    outcomes: MemorySendChannel[Outcome],
    tally: ReadTally,
    first_index: int = 0,
    limit: int | None = None,
) -> None:
    """Read the input to its end, or to `limit` rows, as credits come.

    take_rows: blocking, called in a thread; gives at most so many rows, none at the end. jobs, outcomes: must have room
    for a message per credit, so that sending never waits.
    Cancellation: rows taken but not yet sent are lost to this run; they were never sent to the provider.
    """
    with credits, jobs, outcomes:
        index = first_index
        free = 0
        rows: list[RawRow] = []
        while limit is None or index < limit:
            if not rows:
                most = SLICE_ROWS if limit is None else min(SLICE_ROWS, limit - index)
                rows = await trio.to_thread.run_sync(take_rows, most, abandon_on_cancel=True)
                if not rows:
                    break
            if not free:
                free = sum(await take(credits))
            made = make_jobs(rows[:free], index)
            rows = rows[free:]
            free -= len(made)
            index += len(made)
            tally.rows = index
            _send(made, jobs, outcomes)
            await trio.lowlevel.checkpoint()  # a long input in a fast house must not starve the others
        tally.ended = True
        jobs.send_nowait(Notice.END_OF_INPUT)


def _send(
    made: Sequence[Job | Failure],
    jobs: MemorySendChannel[list[Job] | Report | Notice],
    outcomes: MemorySendChannel[Outcome],
) -> None:
    ready = []
    for item in made:
        if isinstance(item, Job):
            ready.append(item)
        else:
            outcomes.send_nowait(item)
    if ready:
        jobs.send_nowait(ready)

"""The first stage: turns rows of the input into jobs, one credit a row.

A bad row becomes a finished `Failure` that takes its place in the order; it never stops the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from msgspec import Struct

from pipeline.errors import InputError
from pipeline.messages import Notice
from pipeline.records import Job
from pipeline.stages.groups import take

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from trio import MemoryReceiveChannel

    from pipeline.core.rows.lines import RawRow
    from pipeline.messages import Report
    from pipeline.ports import Reuse, Store
    from pipeline.records import Failure, Outcome
    from pipeline.stages.mailbox import Outlet
    from pipeline.stages.room import Room

AHEAD_ROWS, AHEAD_SECONDS = 4_096, 0.05  # so many that wait to leave feed 80,000 a second until the reader looks again
SLICE_ROWS = 256  # rows taken from the input in one visit to a thread: its 0.2 ms is then below 1 µs a row


class ReadTally(Struct, eq=False):
    """What the reader counts.

    rows: read. entered: of these, work for this run. ended: the input gave all it had. problem: why it gave no more, if that was too soon.
    full: no more rows may be in memory now.
    """

    rows: int = 0
    entered: int = 0
    ended: bool = False
    problem: str | None = None
    full: bool = False


async def read(
    take_rows: Callable[[int], Awaitable[list[RawRow]]],
    make_jobs: Callable[[list[RawRow], int], Sequence[Job | Failure]],
    *,
    store: Store[Any],
    credits: MemoryReceiveChannel[int],  # noqa: A002  the field's word
    jobs: Outlet[list[Job] | Report | Notice],
    outcomes: Outlet[Outcome],
    tally: ReadTally,
    first_index: int = 0,
    limit: int | None = None,
    reuse: Reuse | None = None,
    room: Room | None = None,
    ahead: Callable[[], int] | None = None,
) -> None:
    """Read the input to its end, or to `limit` rows, as credits come.

    take_rows: gives at most so many rows, none at the end. make_jobs: the jobs of rows, given the index of the first.
    store: knows which rows are done already; those cost no credit. jobs, outcomes: must have room for a message per
    credit, so that sending never waits. reuse: answers rows that need not be sent. room: bounds in bytes what waits to be
    sent. ahead: how many jobs wait to leave. While they are many the reader takes its time, because requests that may leave
    come before rows that may not. An input that breaks off ends the reading; the rows before it go on as usual.
    Cancellation: rows taken but not yet sent are lost to this run; they were never sent to the provider.
    """
    with credits, jobs, outcomes:
        index = tally.rows = first_index
        free = 0
        rows: list[RawRow] = []
        while limit is None or index < limit:
            if not rows:
                most = SLICE_ROWS if limit is None else min(SLICE_ROWS, limit - index)
                try:
                    rows = await take_rows(most)
                except InputError as error:
                    tally.problem = str(error)
                if not rows:
                    break
            if not free:
                tally.full = True
                free = sum(await take(credits))
                tally.full = False
            if room is not None:
                await room.wait()
            try:
                taken = rows[:free]
                made = make_jobs(taken, index)
            except InputError as error:  # the disk where it remembers ids is full
                tally.problem = str(error)
                break
            rows = rows[free:]
            done = store.begin(taken, index)
            waiting = 0
            items: Sequence[Job | Outcome] = made
            if reuse is not None:
                items, waiting = reuse.begin(made, done)
            elif done:
                items = [item for item in made if item.index not in done]
            index += len(taken)
            tally.rows = index
            entered = waiting + _send(items, jobs, outcomes, room)
            del taken, made, items  # while it waits for room, the text of the last rows must not stay in memory
            tally.entered += entered
            free -= entered
            await _let_others(ahead)
        tally.ended = True
        jobs.send_nowait(Notice.END_OF_INPUT)


async def _let_others(ahead: Callable[[], int] | None) -> None:
    """A long input must not starve the other stages, and least of all while many requests may leave."""
    if ahead is not None and ahead() > AHEAD_ROWS:
        await trio.sleep(AHEAD_SECONDS)
    else:
        await trio.lowlevel.checkpoint()


def _send(
    made: Sequence[Job | Outcome],
    jobs: Outlet[list[Job] | Report | Notice],
    outcomes: Outlet[Outcome],
    room: Room | None,
) -> int:
    """Send jobs to the gate and finished rows on; how many entered the pipeline."""
    ready = [item for item in made if isinstance(item, Job)]
    if len(ready) < len(made):
        for item in made:
            if not isinstance(item, Job):
                outcomes.send_nowait(item)
    if ready:
        if room is not None:
            room.enter(ready)
        jobs.send_nowait(ready)
    return len(made)

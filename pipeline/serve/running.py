"""One batch that is worked on: the open files of its run, and the rows of it that are on their way.

Its run is that of `headrace run`: the same journal, spool and output, so what was answered survives the process in the same way.
Rows leave the flow in the order in which they are answered; here they are put into the order of the input again, and those that
wait too long are left to the journal and read back, as `stages/order.py` does for a run.

When a batch is cancelled or has expired, its remaining rows are still read, and each becomes a failure that says so. They pass
through the journal like all others, so every row has one result, and a process that dies meanwhile goes on with the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field
from msgspec.structs import replace

from pipeline.config import Order, SinkConfig, SourceConfig
from pipeline.core.batches.records import Batch, Status
from pipeline.core.bookkeeping.ledger import Ledger, Priced
from pipeline.core.bookkeeping.reorder import ReorderWindow
from pipeline.durability.entries import size_of
from pipeline.errors import JournalDamagedError, UsageError
from pipeline.records import Failure, FailureKind, Job
from pipeline.runs.opening import Choices, OpenedRun, open_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import Config
    from pipeline.core.rows.lines import RawRow
    from pipeline.durability.entries import Entry
    from pipeline.durability.store import DurableStore
    from pipeline.ports import OpenSource
    from pipeline.records import Outcome
    from pipeline.serve.folder import DataFolder

INDEX_BITS = 40  # of a row within its batch; the batch's slot stands above
INDEX_MASK = (1 << INDEX_BITS) - 1
SPILL_ROWS = 512  # that wait in memory for an earlier row of their batch
SPILL_BYTES = 4 << 20
READ_BACK_ROWS = 64
TAKE_ROWS = 256  # from the input at once
TAKE_BYTES = 4 << 20
WHY = {
    FailureKind.CANCELLED: "the batch was cancelled before this row was sent",
    FailureKind.EXPIRED: "the batch expired before this row was sent",
}


@define(eq=False)
class Running:
    """A batch with its open run. Close it with `finish`, or with `close` if it may be opened again.

    slot: tells its rows from those of other batches. ending: why the rest of its rows is not sent; None while they are.
    out: rows that were given and have no result yet. lock: held while its journal is written.
    """

    batch: Batch
    slot: int
    run: OpenedRun
    ending: FailureKind | None = None
    ledger: Ledger = field(factory=Ledger)
    lock: trio.Lock = field(factory=trio.Lock, init=False)
    out: int = field(default=0, init=False)
    written: int = field(init=False)
    exhausted: bool = field(default=False, init=False)
    next_index: int = field(init=False)  # of the next row that is made a job
    _dropped: int = field(default=0, init=False)  # rows that failed because the batch is ending
    _failed_before: int = field(init=False)
    _window: ReorderWindow[Entry] = field(init=False)
    _waiting_bytes: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _buffer: list[RawRow] = field(factory=list, init=False)
    _row_bytes: int = field(default=4096, init=False)  # of a row of late

    def __attrs_post_init__(self) -> None:
        durable = self.durable
        self.next_index = durable.first_index
        self.written = durable.state.written
        self.ledger.succeeded = durable.state.succeeded
        # A batch that was ending before has rows in its journal that failed of that alone.
        self._failed_before = self.batch.failed if self.ending is not None else durable.state.failed
        self.ledger.prompt_tokens, self.ledger.output_tokens = durable.state.prompt_tokens, durable.state.output_tokens
        self.ledger.cost = durable.state.priced.cost
        durable.figures.priced = self._priced
        self._window = ReorderWindow(durable.first_index, durable.held)

    @property
    def durable(self) -> DurableStore:
        """Its journal and output."""
        return self.run.durable

    @property
    def base(self) -> int:
        """What is added to the index of its rows within the flow."""
        return self.slot << INDEX_BITS

    @property
    def completed(self) -> int:
        """Rows that succeeded."""
        return self.ledger.succeeded

    @property
    def failed(self) -> int:
        """Rows that failed, without those that were not sent because the batch is ending."""
        return self._failed_before + self.ledger.failed - self._dropped

    @property
    def is_written(self) -> bool:
        """Whether every row has its line in the output."""
        return self.written >= self.batch.total

    def _priced(self) -> Priced:
        """What its answers cost, for its journal. Called in another thread."""
        return Priced(self.ledger.cost, self.ledger.prompt_tokens, self.ledger.output_tokens)

    # ---- rows in -------------------------------------------------------------------------------------------------

    async def take(self, most: int) -> list[RawRow]:
        """The next rows of its input, none at its end. Raises InputError."""
        if not self._buffer and not self.exhausted:
            wanted = max(1, min(TAKE_ROWS, TAKE_BYTES // self._row_bytes))
            self._buffer = await trio.to_thread.run_sync(self.run.source.take, wanted, abandon_on_cancel=True)
            if self._buffer:
                self._row_bytes = max(64, sum(len(row.data or b"") for row in self._buffer) // len(self._buffer))
            else:
                self.exhausted = True
                self.run.known.end()
        taken, self._buffer = self._buffer[:most], self._buffer[most:]
        return taken

    def make(self, rows: list[RawRow]) -> tuple[int, list[Job | Failure]]:
        """Jobs of its next rows, with their indexes in the flow, and the index of the first within the batch."""
        first = self.next_index
        self.next_index += len(rows)
        make = self.run.jobs.make_jobs if self.ending is None else self._make_ends
        made = self.run.known.making(make)(rows, first)
        base = self.base
        placed: list[Job | Failure] = []
        for item in made:
            if isinstance(item, Job):
                item.index += base
                placed.append(item)
            else:
                placed.append(replace(item, index=item.index + base))
        return first, placed

    def _make_ends(self, rows: list[RawRow], first: int) -> list[Job | Failure]:
        assert self.ending is not None
        made = self.run.jobs.make_jobs(rows, first)
        return [Failure(item.index, item.custom_id, self.ending, WHY[self.ending]) for item in made]

    # ---- results out ---------------------------------------------------------------------------------------------

    async def record(self, outcomes: list[Outcome]) -> list[Entry]:
        """Make outcomes durable. Raises JournalError, SinkError."""
        async with self.lock:
            if self._closed:
                return []  # its last row was written while the recorder was busy with other batches
            entries = await self.durable.record(outcomes)
        self.count(outcomes)
        return entries

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes that are durable."""
        self.ledger.add(outcomes)
        self.out -= len(outcomes)
        self._dropped += sum(isinstance(outcome, Failure) and outcome.kind in WHY for outcome in outcomes)

    async def write(self, entries: list[Entry]) -> None:
        """Write those rows whose turn it is, and keep the others until it is. Raises SinkError, JournalError."""
        ready = self._window.push(entries)
        self._waiting_bytes += size_of(entries) - size_of(ready)
        await self._append(ready)
        while (held := self._window.take_held(READ_BACK_ROWS))[1]:
            await self._append(await self.durable.read_back(*held))
            ready = self._window.push(())
            self._waiting_bytes -= size_of(ready)
            await self._append(ready)
        if len(self._window) > SPILL_ROWS or self._waiting_bytes > SPILL_BYTES:
            self._window.spill()
            self._waiting_bytes = 0

    async def _append(self, entries: list[Entry]) -> None:
        if entries:
            await self.durable.write(entries)
            self.written += len(entries)

    # ---- the end -------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Store all that is under way and close the files. Raises JournalError, SinkError.

        Cancellation: is not delivered; it takes milliseconds.
        """
        with trio.CancelScope(shield=True):
            async with self.lock:
                self._closed = True
                await trio.to_thread.run_sync(self._finish)

    def _finish(self) -> None:
        try:
            self.durable.finish(self.batch.total if self.is_written else None)
        finally:
            self.run.close()


def open_running(config: Config, batch: Batch, slot: int, ending: FailureKind | None, open_source: OpenSource) -> Running:
    """Open a batch's run where it was left. Blocks.

    A config that asks for other answers than before keeps those that are there, as does whatever somebody has done to the files.
    Raises UsageError, JournalError.
    """
    try:
        run = open_run(config, open_source(), Choices())
    except (UsageError, JournalDamagedError):
        run = open_run(config, open_source(), Choices(accept_changes=True))
    return Running(batch, slot, run, ending)


def config_of(config: Config, folder: DataFolder, batch: Batch) -> Config:
    """The config of a batch's own run."""
    place = folder.batch(batch.id)
    return replace(
        config,
        source=SourceConfig(path=str(place / "input.jsonl")),
        sink=SinkConfig(path=str(place / "results.jsonl"), order=Order.INPUT),
        journal=replace(config.journal, path=None),
        cache=None,
        dedupe=False,
    )


def ending_of(batch: Batch) -> FailureKind | None:
    """Why the remaining rows of a batch are not sent; None if they are."""
    if batch.status is Status.CANCELLING:
        return FailureKind.CANCELLED
    return FailureKind.EXPIRED if batch.ends_as is Status.EXPIRED else None

"""What a run leaves behind: the output, the journal beside it, and the marks of what was sent.

Law 7: an outcome is in the journal before it is anywhere else, and leaves it only when the output has it. How a run goes
on from what another left is in `resume`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field

from pipeline.core.identity import MASK, Prefix, row_digest, row_term, rows_checksum
from pipeline.edges.journal import State
from pipeline.records import Success

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.intervals import Intervals
    from pipeline.edges.journal import Journal
    from pipeline.edges.rows import RawRow
    from pipeline.edges.sent import SentMarks
    from pipeline.edges.sink import FileSink
    from pipeline.records import Failure, Job, Outcome

MAX_PREFIXES = 1024  # places from where a resume may read on; behind a slow head row every other one is forgotten


@define(eq=False)
class Entry:
    """A finished row as it is written. place: where in the output, in lines; in input order that is its index."""

    index: int
    place: int
    line: bytes


@define(eq=False)
class DurableOutput:
    """An output that survives its process: recorder and emitter of a flow in one. Owns its files; close it.

    held: places that the journal holds for the output. done: rows that have an outcome.
    """

    sink: FileSink
    journal: Journal
    marks: SentMarks
    encode: Callable[[Outcome], bytes]
    in_order: bool
    power: bool
    held: Intervals
    done: Intervals
    state: State
    _terms: dict[int, int] = field(factory=dict, init=False)  # of the rows in the house
    _written: tuple[int, int, str] = field(init=False)  # lines, bytes and digest of the output
    _next_place: int = field(init=False)
    done_end: int = field(init=False)  # no row from here on was done when this was opened
    _read: Prefix = field(init=False)  # all rows that were read
    _prefixes: list[Prefix] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.done_end = max((end for _, end in self.done), default=0)
        self._written = (self.state.written, self.state.bytes, self.state.digest)
        self._next_place = self.state.recorded
        self._read = self.state.prefix

    @property
    def first_index(self) -> int:
        """The first row that has no outcome yet, or in input order is not written."""
        if self.in_order:
            return self._written[0]
        first, end = next(iter(self.done), (0, 0))
        return 0 if first else end

    # ---- what a flow asks of it ----------------------------------------------------------------------------------

    async def record(self, outcomes: list[Outcome]) -> list[Entry]:
        """Make outcomes durable. Raises JournalError, or SinkError where power loss is to be survived.

        Cancellation: heeded before anything is done, and not after.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        entries, state = self._enter(outcomes)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._commit, entries, state)
        return entries

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Make outcomes durable at once."""
        self._commit(*self._enter(outcomes))

    async def read_back(self, first: int, count: int) -> list[Entry]:
        """Recorded rows that are next to be written."""
        lines = await trio.to_thread.run_sync(self.journal.read, first, count)
        return [Entry(index, index, line) for index, line in enumerate(lines, first)]

    def size_of(self, item: Entry) -> int:
        """The bytes of a row's line."""
        return len(item.line)

    async def emit(self, entries: list[Entry]) -> None:
        """Append rows to the output. Raises SinkError.

        Cancellation: heeded before anything is done, and not after.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.sink.write, b"".join([entry.line for entry in entries]))
        self._note_written(len(entries))

    def make_jobs(
        self, make: Callable[[list[RawRow], int], list[Job | Failure]], rows: list[RawRow], first: int
    ) -> list[Job | Failure | None]:
        """Jobs of rows, None for those that are done already; remembers what each was made of."""
        made: list[Job | Failure | None] = list(make(rows, first))
        terms = self.note_rows(rows, first)
        if first >= self.done_end:
            self._terms.update(enumerate(terms, first))
            return made
        for index, term in enumerate(terms, first):
            if index in self.done:
                made[index - first] = None
            else:
                self._terms[index] = term
        return made

    # ---- what the rows were --------------------------------------------------------------------------------------

    def note_rows(self, rows: Sequence[RawRow], first: int) -> list[int]:
        """Note what the input holds, slice by slice from where `state.prefix` ends; the term of each row."""
        digests = [row_digest(row) for row in rows]
        terms = [row_term(index, digest) for index, digest in enumerate(digests, first)]
        read = self._read
        if rows and first:
            self._prefixes.append(Prefix(first, rows[0].line, rows[0].offset, read.checksum, read.row_sum))
            if len(self._prefixes) > MAX_PREFIXES:
                del self._prefixes[1::2]
        self._read = Prefix(first + len(rows), 0, 0, rows_checksum(rows, digests, read.checksum), (read.row_sum + sum(terms)) & MASK)
        return terms

    def forget_input(self) -> Prefix:
        """Take it that nothing is known of how the input begins; what is known then."""
        self._read = Prefix()
        self._prefixes.clear()
        self.state = evolve(self.state, prefix=self._read)
        return self._read

    def know_rows(self, row_sum: int) -> None:
        """Take the rows that are done to have this sum. Blocks. Raises JournalError."""
        self.state = evolve(self.state, row_sum=row_sum)
        self.settle()

    def _newest_prefix(self) -> Prefix:
        """As much of the input as is done from its first row on and may be checked as a whole."""
        newest = self.state.prefix
        end = self.first_index
        while self._prefixes and self._prefixes[0].rows <= end:
            newest = self._prefixes.pop(0)
        return newest

    # ---- recording -----------------------------------------------------------------------------------------------

    def _enter(self, outcomes: list[Outcome]) -> tuple[list[Entry], State]:
        entries = []
        succeeded = prompt = output = row_sum = 0
        for outcome in outcomes:
            index = outcome.index
            place = index
            if not self.in_order:
                place = self._next_place
                self._next_place += 1
                self.done.add(index, index + 1)
            entries.append(Entry(index, place, self.encode(outcome)))
            row_sum += self._terms.pop(index)
            if isinstance(outcome, Success):
                succeeded += 1
                prompt += outcome.usage.prompt_tokens
                output += outcome.usage.output_tokens
        was = self.state
        self.state = State(
            *self._written[:2],
            was.succeeded + succeeded,
            was.failed + len(outcomes) - succeeded,
            was.prompt_tokens + prompt,
            was.output_tokens + output,
            (was.row_sum + row_sum) & MASK,
            was.unknown,
            () if self.in_order else tuple(self.done),
            self._written[2],
            self._newest_prefix(),
            was.rows,
            committed_at=time.time(),
        )
        return entries, self.state

    def _commit(self, entries: list[Entry], state: State) -> None:
        if self.power:
            self.sink.sync()
        self.journal.commit([(entry.place, entry.line) for entry in entries], state)

    def _note_written(self, lines: int) -> None:
        self._written = (self._written[0] + lines, self.sink.bytes_written, self.sink.digest)

    def settle(self, lines: int = 0, *, unknown: int = 0, rows: int | None = None) -> None:
        """Note that so many more lines are written, and what else is known. Blocks. Raises JournalError, SinkError."""
        self._note_written(lines)
        written, size, digest = self._written
        was = self.state
        self.state = evolve(
            was,
            written=written,
            bytes=size,
            digest=digest,
            prefix=self._newest_prefix(),
            unknown=was.unknown + unknown,
            rows=was.rows if rows is None else rows,
            committed_at=time.time(),
        )
        self._commit([], self.state)

    def finish(self, rows: int | None) -> None:
        """Note what is written and what was cut off, when nothing is in flight any more. rows: of the input, if its end was seen.

        Blocks. Raises JournalError, SinkError.
        """
        self.sink.check()
        self.settle(unknown=self.marks.unknown(self.recorded()), rows=rows)
        self.marks.forget()

    def recorded(self) -> Intervals:
        """The rows that have an outcome. Blocks. Raises JournalError."""
        if not self.in_order:
            return self.done
        rows = self.journal.places(self._written[0])
        if self._written[0]:
            rows.add(0, self._written[0])
        return rows

    def close(self) -> None:
        """Give the files back; what is recorded is durable."""
        try:
            self.journal.close()
        finally:
            try:
                self.sink.close()
            finally:
                self.marks.close()

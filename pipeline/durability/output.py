"""What a run leaves behind: the output, the journal beside it, its spool, and the marks of what was sent.

Law 7: an outcome is in the spool before another row may leave in its place, and it stays there until a commit tells that the
output has it or takes it into the journal. The journal takes what has to wait for an earlier row, and what the output was too
slow to take. How a run goes on from what another left is in `resume`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field

from pipeline.core.bookkeeping.fingerprint import MASK, Prefix, row_digest, row_term, rows_checksum
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.ledger import Ledger, usage_of
from pipeline.edges.store.journal import State
from pipeline.records import Success, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.edges.store.journal import Journal
    from pipeline.edges.store.marks import SentMarks
    from pipeline.edges.store.output import FileSink
    from pipeline.edges.store.spool import Spool
    from pipeline.records import Outcome

LINGER_SECONDS = 0.05  # a commit costs a visit to a thread, as much as two rows; what has not waited for it is in the spool
MAX_PREFIXES = 1024  # places from where a resume may read on; behind a slow head row every other one is forgotten


Counts = tuple[bool, Usage, int]  # whether it succeeded, what it used, its term


@define(eq=False)
class Entry:
    """A finished row as it is written.

    place: where in the output, in lines; in input order that is its index. counts: what the row adds to the state's
    counters, until that is done. spooled: the spool has it.
    """

    index: int
    place: int
    line: bytes
    counts: Counts | None = None
    spooled: bool = field(default=False, kw_only=True)


@define(eq=False)
class DurableOutput:
    """An output that survives its process: recorder and emitter of a flow in one. Owns its files; close it.

    held: places that the journal holds for the output. done: rows that have an outcome.
    """

    sink: FileSink
    journal: Journal
    spool: Spool
    marks: SentMarks
    encode: Callable[[Outcome], bytes]
    in_order: bool
    power: bool
    held: Intervals
    done: Intervals
    state: State
    linger_seconds: float = field(default=LINGER_SECONDS, init=False)
    has_room: bool = field(default=True, init=False)
    _terms: dict[int, int] = field(factory=dict, init=False)  # of the rows that were read and are not recorded
    _kept: dict[int, bytes] = field(factory=dict, init=False)  # lines of rows that are in the spool and not recorded
    _passed: dict[int, Entry] = field(factory=dict, init=False)  # recorded rows that are in the spool alone, and on their way
    _storing: list[Entry] = field(factory=list, init=False)  # what a commit that is under way takes
    _turned: bool = field(default=False, init=False)  # whether the last commit has set what the spool had aside
    _ledger: Ledger = field(init=False)  # of the rows that the journal or the output has
    _row_sum: int = field(init=False)  # of their terms
    _written: tuple[int, int, str] = field(init=False)  # lines, bytes and digest of the output
    _next_place: int = field(init=False)
    done_end: int = field(init=False)  # no row from here on was done when this was opened
    _read: Prefix = field(init=False)  # all rows that were read
    _prefixes: list[Prefix] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.done_end = max((end for _, end in self.done), default=0)
        was = self.state
        self._written = (was.written, was.bytes, was.digest)
        self._ledger = Ledger(was.succeeded, was.failed, was.prompt_tokens, was.output_tokens)
        self._row_sum = was.row_sum
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

    def begin(self, rows: Sequence[RawRow], first: int) -> Collection[int]:
        """Note rows; the indexes of those that are done already."""
        terms = self.note_rows(rows, first)
        done = self.done if first < self.done_end else ()
        self._terms.update((index, term) for index, term in enumerate(terms, first) if index not in done)
        return [index for index in range(first, first + len(rows)) if index in done] if done else ()

    def left(self, index: int) -> None:
        """Note that an attempt for a row leaves now. Raises JournalError when the disk is full."""
        self.marks.mark(index)

    def cleared(self, index: int) -> None:
        """Note that the attempt has ended without an outcome, and not as an unknown one."""
        self.marks.unmark(index)

    def keep(self, outcome: Outcome) -> Outcome:
        """Take an outcome into the spool, from where a run that goes on has it. It must still be recorded."""
        line = self.encode(outcome)
        if self.spool.put(line, self._terms[outcome.index] & MASK):
            self._kept[outcome.index] = line
        return outcome

    async def record(self, outcomes: list[Outcome]) -> list[Entry]:
        """Make outcomes durable. Raises JournalError, or SinkError where power loss is to be survived.

        Cancellation: heeded before anything is done, and not after.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        was_turned = self._turned
        entries = [self._enter(outcome) for outcome in outcomes]
        self._storing, state = self._next_commit(entries)
        self._turned = not was_turned and not self._kept
        if self._turned:
            self.spool.turn()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._commit, self._storing, state)
        self._storing = []
        if was_turned:  # what was set aside then was recorded by then, so this commit had it stored if it was not written
            self.spool.clear()
        return entries

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Put outcomes, and whatever else is on its way, in the journal at once."""
        entries = [self._enter(outcome) for outcome in outcomes]
        self._passed.update((entry.index, entry) for entry in entries)
        self._commit(*self._next_commit([]))

    async def read_back(self, first: int, count: int) -> list[Entry]:
        """Recorded rows that are next to be written, those that no commit has stored yet among them."""
        near = {entry.index: entry for entry in (*self._passed.values(), *self._storing) if first <= entry.index < first + count}
        back: list[Entry] = []
        for index in (*sorted(near), first + count):
            start = first + len(back)
            if start < index:
                lines = await trio.to_thread.run_sync(self.journal.read, start, index - start)
                back += [Entry(place, place, line) for place, line in enumerate(lines, start)]
            if index in near:
                back.append(near[index])
        return back

    def size_of(self, item: Entry) -> int:
        """The bytes of a row's line."""
        return len(item.line)

    async def write(self, items: list[Entry]) -> None:
        """Append rows to the output. Raises SinkError.

        Cancellation: heeded before anything is done, and not after.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.sink.write, b"".join([entry.line for entry in items]))
        self._note_written(len(items))
        for entry in items:
            self._passed.pop(entry.index, None)
        self._count(items)

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
        self._row_sum = row_sum
        self.settle()

    def _newest_prefix(self) -> Prefix:
        """As much of the input as is done from its first row on and may be checked as a whole."""
        newest = self.state.prefix
        end = self.first_index
        while self._prefixes and self._prefixes[0].rows <= end:
            newest = self._prefixes.pop(0)
        return newest

    # ---- recording -----------------------------------------------------------------------------------------------

    def _enter(self, outcome: Outcome) -> Entry:
        index = outcome.index
        place = index
        if not self.in_order:
            place = self._next_place
            self._next_place += 1
        term = self._terms.pop(index)
        counts = (isinstance(outcome, Success), usage_of(outcome), term)
        line = self._kept.pop(index, None)
        if line is None:
            return Entry(index, place, self.encode(outcome), counts)
        return Entry(index, place, line, counts, spooled=True)

    def _next_commit(self, entries: list[Entry], *, unknown: int = 0, rows: int | None = None) -> tuple[list[Entry], State]:
        """What the journal is to take, and the state that is true then. unknown, rows: as `settle` takes them.

        What the spool has waits for the next commit: most of it is in the output by then, and is spared the journal.
        """
        waiting = [*self._passed.values(), *(entry for entry in entries if self.power or not entry.spooled)]
        self._passed = {} if self.power else {entry.index: entry for entry in entries if entry.spooled}
        self._count(waiting)
        return waiting, self._note_state(unknown, rows)

    def _count(self, entries: list[Entry]) -> None:
        """Count rows that the journal or the output has, once each."""
        for entry in entries:
            if entry.counts is not None:
                succeeded, usage, term = entry.counts
                self._ledger.count(usage, succeeded=succeeded)
                self._row_sum += term
                entry.counts = None
                if not self.in_order:
                    self.done.add(entry.index, entry.index + 1)

    def _note_state(self, unknown: int, rows: int | None) -> State:
        """What is true once all that was counted is stored."""
        was, ledger = self.state, self._ledger
        self.state = State(
            *self._written[:2],
            ledger.succeeded,
            ledger.failed,
            ledger.prompt_tokens,
            ledger.output_tokens,
            self._row_sum & MASK,
            was.unknown + unknown,
            () if self.in_order else tuple(self.done),
            self._written[2],
            self._newest_prefix(),
            was.rows if rows is None else rows,
            committed_at=time.time(),
        )
        return self.state

    def _commit(self, entries: list[Entry], state: State) -> None:
        if self.power:
            self.sink.sync()
        self.journal.commit([(entry.place, entry.line) for entry in entries], state)

    def _note_written(self, lines: int) -> None:
        self._written = (self._written[0] + lines, self.sink.bytes_written, self.sink.digest)

    def settle(self, lines: int = 0, *, unknown: int = 0, rows: int | None = None) -> None:
        """Note that so many more lines are written, and what else is known. Blocks. Raises JournalError, SinkError.

        unknown: attempts of which nothing more is known, besides those before. rows: of the input, if its end was seen.
        """
        self._note_written(lines)
        self._commit(*self._next_commit([], unknown=unknown, rows=rows))

    def finish(self, rows: int | None) -> None:
        """Note what is written and what was cut off, when nothing is in flight any more. rows: of the input, if its end was seen.

        Blocks. Raises JournalError, SinkError.
        """
        self.sink.check()
        self.settle(unknown=self.marks.unknown(self.recorded()), rows=rows)
        self.marks.forget()
        if self.state.written == self.state.recorded:
            self.journal.shrink()
        if not self._kept:  # else something was answered while the recorder was being cut off
            self.spool.remove()

    def recorded(self) -> Intervals:
        """The rows that have an outcome. Blocks. Raises JournalError."""
        if self.in_order:
            rows = self.journal.places(self._written[0])
            if self._written[0]:
                rows.add(0, self._written[0])
        else:
            rows = Intervals(self.done)
        for index in (*self._passed, *self._kept):
            rows.add(index, index + 1)
        return rows

    def close(self) -> None:
        """Give the files back; what is recorded is durable."""
        with ExitStack() as closing:
            for part in (self.marks, self.sink, self.spool, self.journal):  # the last first; the marks are the lock
                closing.callback(part.close)

"""The store of a run with files: its output, the journal beside it, its spool, and the marks of what was sent.

Theory of operation. This is the life of a row, and where its result is meanwhile:

    read      its term is noted: what the row is recognised by when another process goes on
    sent      `left` sets its mark; a marked row without an outcome may have been billed. `cleared` takes the mark back
    kept      its line is in the spool, and so survives the process. Only then is its worker free for another row
    recorded  `record` has made an entry of it, which goes on to be ordered and written
    stored    a commit has put its line in the journal
    written   `write` has appended its line to the output. The next commit says so, and the journal and the spool forget it

Law 7 holds because at every moment the line of an answered row is in the spool, in the journal or in the output.

Which rows a commit stores is in `under_way`, when the spool forgets a line in `keeping`, what is counted when in `commits`, and how
a run goes on from what another left in `resume`.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from itertools import repeat
from typing import TYPE_CHECKING

import trio
from msgspec import Struct, field

from pipeline.core.bookkeeping.fingerprint import MASK
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.ledger import counted
from pipeline.core.output.kept import line_of
from pipeline.durability.entries import Entry, size_of, texts
from pipeline.durability.keeping import LONGEST_BYTES
from pipeline.durability.under_way import UnderWay
from pipeline.edges.process.threads import in_thread
from pipeline.edges.store.long_lines import Slot
from pipeline.errors import JournalGoneError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pipeline.core.bookkeeping.fingerprint import Prefix
    from pipeline.core.output.kept import KeptFields
    from pipeline.core.rows.lines import RawRow
    from pipeline.durability.commits import Commit, Commits, Figures
    from pipeline.durability.keeping import Keeping
    from pipeline.durability.made import Made
    from pipeline.edges.store.journal_schema import State
    from pipeline.edges.store.marks import SentMarks
    from pipeline.records import Outcome

LINGER_SECONDS = 0.05  # what is gathered is in the spool
LINGERS = 5  # of rows that arrive all the time: to record and write a group costs as much as three rows, however small it is


class DurableStore(Struct, eq=False):
    """A `Store` that survives its process. Owns its files; close it.

    held: line numbers of the output whose rows the journal holds. made: which of the files were not there before.
    kept: what of a row goes into its line. done_end: no row from here on was done when this was opened.
    """

    commits: Commits
    keeping: Keeping
    marks: SentMarks
    held: Intervals
    made: Made
    kept: KeptFields | None = None
    linger_seconds: float = LINGER_SECONDS
    lingers: int = LINGERS
    has_room: bool = True
    done_end: int = 0
    _next_place: int = 0  # in the order of completion
    _terms: dict[int, int] = field(default_factory=dict)  # of rows that were read and are not recorded
    _fields: dict[int, bytes] = field(default_factory=dict)  # what of these goes into their lines
    _under_way: UnderWay = field(default_factory=UnderWay)
    _buffer: bytearray = field(default_factory=bytearray)  # of lines that are written from the disk

    def __post_init__(self) -> None:
        self.done_end = max((end for _, end in self.commits.done), default=0)
        self._next_place = self.commits.state.recorded
        if self.commits.power:
            self.lingers = 1  # the spool does not survive the machine

    # ---- read and sent -------------------------------------------------------------------------------------------

    def begin(self, rows: Sequence[RawRow], first: int) -> Collection[int]:
        """Note rows; the indexes of those that are done already."""
        terms = self.commits.seen.note(rows, first)
        if first >= self.done_end:
            self._terms.update(enumerate(terms, first))
            done: set[int] = set()
        else:
            done = {index for index in range(first, first + len(rows)) if index in self.commits.done}
            self._terms.update((index, term) for index, term in enumerate(terms, first) if index not in done)
        if self.kept is not None:
            self._fields.update((index, self.kept.of(row)) for index, row in enumerate(rows, first) if index not in done)
        return done

    def left(self, index: int) -> None:
        """Note that an attempt for a row leaves now. Raises JournalError when the disk is full."""
        self.marks.mark(index)

    def cleared(self, index: int) -> None:
        """Note that the attempt has ended without an outcome, and that it was not billed."""
        self.marks.unmark(index)

    # ---- kept ----------------------------------------------------------------------------------------------------

    def keep(self, outcome: Outcome) -> Outcome:
        """Put an outcome in the spool, if there is room. A long body is taken out of memory."""
        index = outcome.index
        kept = self._fields[index] if self._fields else b""
        return self.keeping.keep(outcome, self._terms[index] & MASK, kept)

    @property
    def is_behind(self) -> bool:
        """Whether some outcome could not be kept and is not recorded yet."""
        return self.keeping.is_behind

    async def catch_up(self) -> None:
        """Wait until all outcomes that could not be kept are recorded."""
        await self.keeping.catch_up()

    # ---- recorded and stored -------------------------------------------------------------------------------------

    async def record(self, outcomes: list[Outcome]) -> list[Entry]:
        """Make outcomes durable. Raises JournalError, or SinkError under `power`.

        Cancellation: takes effect before anything is done, or not at all.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        longest = [outcome for outcome in outcomes if len(outcome.body or b"") > LONGEST_BYTES]
        made = {}
        if longest:
            with trio.CancelScope(shield=True):
                made = {outcome.index: await self._keep_longest(outcome) for outcome in longest}
        entries = self._enter(outcomes, made)
        commit = self._next_commit(entries)
        self.keeping.begin_commit()
        await in_thread(self._commit, commit)
        self.keeping.end_commit(entry.index for entry in entries)
        return entries

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Put outcomes, and whatever else is under way, in the journal at once."""
        self._under_way.add(self._enter(outcomes, {}))
        self._commit(self._next_commit([]))

    async def _keep_longest(self, outcome: Outcome) -> bytes | Slot:
        """The line of an outcome that takes long: made in another process and written in a thread, into a slot if the disk has one."""
        from pipeline.apart import apart  # noqa: PLC0415  few runs have such answers

        index = outcome.index
        line = await apart(line_of, self.keeping.encode, outcome, self._fields.get(index, b""))
        reserved = None if self.commits.power else self.keeping.spool.reserve_long(len(line))
        if reserved is None:
            return line
        slot, number = reserved
        if await trio.to_thread.run_sync(self.keeping.spool.fill_long, slot, line, self._terms[index] & MASK, number):
            return slot
        self.keeping.spool.give_back(slot)
        return line

    def _enter(self, outcomes: list[Outcome], made: dict[int, bytes | Slot]) -> list[Entry]:
        """The entries of outcomes. made: lines that are there already, or where they are, of those that no worker could keep."""
        indexes = [outcome.index for outcome in outcomes]
        places: Sequence[int] = indexes
        if not self.commits.in_order:
            places = range(self._next_place, self._next_place + len(outcomes))
            self._next_place += len(outcomes)
        lines = self.keeping.take(indexes)
        spooled: Iterable[bool] = repeat(True)
        if not all(lines):
            spooled = [line is not None or isinstance(made.get(index), Slot) for index, line in zip(indexes, lines, strict=True)]
            lines = [
                made.get(outcome.index) or line_of(self.keeping.encode, outcome, self._fields.get(outcome.index, b""))
                if line is None
                else line
                for outcome, line in zip(outcomes, lines, strict=True)
            ]
        if self._fields:
            for index in indexes:
                self._fields.pop(index, None)
        return list(map(Entry, indexes, places, lines, counted(outcomes), map(self._terms.pop, indexes), spooled))

    def _next_commit(self, new: list[Entry], *, is_last: bool = False, unknown: int = 0, rows: int | None = None) -> Commit:
        """The next commit: what it stores of these entries and of those under way. unknown, rows: as `settle` takes them."""
        to_store = self._under_way.to_store(new, at_once=is_last or self.commits.power)
        return self.commits.prepare(to_store, unknown=unknown, rows=rows, is_last=is_last)

    def _commit(self, commit: Commit) -> None:
        try:
            self.commits.commit(commit)
        except JournalGoneError:
            with suppress(OSError):  # then what it holds alone is sent again
                self.keeping.spool.put_back()
            raise
        self._under_way.stored()

    # ---- ordered and written -------------------------------------------------------------------------------------

    def size_of(self, items: Sequence[Entry]) -> int:
        """Bytes of memory that rows take."""
        return size_of(items)

    async def read_back(self, first: int, count: int) -> list[Entry]:
        """Recorded rows that are next to be written, those that no commit has stored yet among them."""
        near = self._under_way.between(first, first + count)
        back: list[Entry] = []
        for index in (*sorted(near), first + count):
            start = first + len(back)
            if start < index:
                lines = await trio.to_thread.run_sync(self.commits.journal.read, start, index - start)
                back += [Entry(place, place, line) for place, line in enumerate(lines, start)]
            if index in near:
                back.append(near[index])
        return back

    async def write(self, items: list[Entry]) -> None:
        """Append rows to the output. Raises SinkError.

        Cancellation: takes effect before anything is done, or not at all.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        await in_thread(self._write, items)
        self.commits.note_written(len(items))
        self._under_way.forget_before(self.commits.written)
        if self.keeping.spool.holds_long:
            self.keeping.note_written([entry.line for entry in items if isinstance(entry.line, Slot)])
        self.commits.count([entry for entry in items if not entry.stored])

    def _write(self, items: list[Entry]) -> None:
        for text in texts(items, self._buffer):
            if isinstance(text, Slot):
                self.commits.sink.write_line(text.pieces(memoryview(self._buffer)))
            else:
                self.commits.sink.write(text)

    # ---- what a run asks when it goes on and when it ends --------------------------------------------------------

    @property
    def state(self) -> State:
        """What is true of the run, as of the last commit."""
        return self.commits.state

    @property
    def done(self) -> Intervals:
        """The rows that had an outcome when this was opened, and in the order of completion those that are counted since."""
        return self.commits.done

    @property
    def first_index(self) -> int:
        """The first row that has no outcome yet; in input order the first that is not written."""
        return self.commits.first_index

    @property
    def digest(self) -> str:
        """SHA-256 of the output."""
        return self.commits.sink.digest

    def note_rows(self, rows: Sequence[RawRow], first: int) -> list[int]:
        """Note rows that are passed over; the term of each."""
        return self.commits.seen.note(rows, first)

    def forget_input(self) -> Prefix:
        """Begin again at the first row, with nothing known of the input; what is known then."""
        return self.commits.seen.forget()

    @property
    def figures(self) -> Figures:
        """What others know and each commit stores."""
        return self.commits.figures

    def settle(self, lines: int = 0, *, unknown: int = 0, rows: int | None = None) -> None:
        """Store all that is under way, and note that this many more lines are written. Blocks. Raises JournalError, SinkError.

        unknown: attempts of which nothing more is known, besides those before. rows: of the input, if its end was seen.
        """
        self.commits.note_written(lines)
        self._commit(self._next_commit([], is_last=True, unknown=unknown, rows=rows))

    def finish(self, rows: int | None) -> None:
        """Note what is written and what was cut off, when nothing is in flight any more. rows: of the input, if its end was seen.

        Blocks. Raises JournalError, SinkError.
        """
        self.commits.sink.check()
        self.settle(unknown=self.marks.unknown(self.recorded(), rows), rows=rows)
        self.marks.forget()
        if self.state.written == self.state.recorded:
            self.commits.journal.shrink()
        self.keeping.finish()

    def is_cut_off(self) -> bool:
        """Whether there are results that could be written and were not, because the run had no time left. Blocks. Raises JournalError."""
        first = self.commits.first_index
        return self.state.written < self.state.recorded and (not self.commits.in_order or first in self.commits.journal.places(first))

    def recorded(self) -> Intervals:
        """The rows that have an outcome. Blocks. Raises JournalError."""
        if self.commits.in_order:
            first = self.commits.first_index
            rows = self.commits.journal.places(first)
            if first:
                rows.add(0, first)
        else:
            rows = Intervals(self.done)
        for index in {*self._under_way.indexes(), *self.keeping.rows()}:
            if index not in rows:
                rows.add(index, index + 1)
        return rows

    def close(self) -> None:
        """Close the files; what is recorded is durable. Raises JournalError, SinkError if a disk reports an error."""
        with ExitStack() as closing:
            for part in (self.marks, self.commits.sink, self.keeping.spool, self.commits.journal):  # the last first; the marks are the lock
                closing.callback(part.close)

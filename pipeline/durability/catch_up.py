"""Takes a source behind the rows that are done, and checks that they are still the rows that were answered.

A run may only go on with the rows that it began with, and it must know exactly which ids an undisturbed run would have
seen by then. There are three ways through the rows that are done, the cheapest first:

1. The text of the first rows is compared by one checksum (`Prefix`). Where none of them was bad, their ids are read by a
   search in that text; else the rows are judged one by one, since a bad row may have claimed no id.
2. The rest up to the first row that is not done is read and judged row by row.
3. Rows that are done behind one that is not are looked at ahead of time, through a second opening of the input. An input
   that cannot be opened twice (stdin, a FIFO) is compared slice by slice as it is read, before anything of a slice is sent.

Whether rows differ is decided by a sum over all of them, which the journal has; the hashes of the rows say where.
"""

from __future__ import annotations

from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.bookkeeping.fingerprint import MASK, Prefix, row_digest, row_digests, row_term, text_checksum
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.rows.lines import count_lines
from pipeline.edges.store.hashes import differs, entries_of
from pipeline.errors import InputChangedError, InputError
from pipeline.records import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.rows.jobs import JobMaker
    from pipeline.core.rows.lines import RawRow
    from pipeline.durability.reuse import CountedJobs
    from pipeline.durability.store import DurableStore
    from pipeline.edges.store.hashes import RowHashes
    from pipeline.ports import OpenSource, Source
    from pipeline.records import Job

SKIP_ROWS = 4096  # taken at once from the part of the input that is done
SHOWN = 5  # rows that a message names one by one


class Changes(Struct, frozen=True, eq=False):
    """How the rows that are done differ from those that were answered.

    rows: those that are known to differ. places: where the first of them stand, by row. missing: whether the input ends
    before the last of them. unknown: whether the hashes of some are not known, so that it cannot be told which of these differ.
    """

    rows: Intervals
    places: dict[int, str]
    missing: bool = False
    unknown: bool = False

    def __str__(self) -> str:
        """Which rows differ, for people."""
        told = [f"row {row} ({place})" if place else f"row {row}" for row, place in self.places.items()]
        more = len(self.rows) - len(told)
        rows = ", ".join(told) + (f" and {more:,} more" if more else "")
        if self.missing:
            return f"it has fewer rows than were answered already{'; not what was answered: ' * bool(told)}{rows}"
        return f"not what was answered: {rows}" if told else "its rows are not those that were answered"


class KnownRows(Struct, eq=False):
    """Compares rows with those that have an outcome, and remembers the hash of every row that is read.

    end_of_done: no row from here on has an outcome. compared: the first rows, as many as were compared. problem: what
    `making` or `end` has raised.
    """

    name: str
    can_be_reopened: bool
    durable: DurableStore
    hashes: RowHashes
    problem: InputChangedError | None = None
    _expected: int = 0
    end_of_done: int = 0
    compared: int = 0
    _sum: int = 0
    _changed: Intervals = field(default_factory=Intervals)
    _places: dict[int, str] = field(default_factory=dict)
    _unknown: bool = False

    def __post_init__(self) -> None:
        self._expected = self.durable.state.row_sum
        self.end_of_done = self.durable.done_end

    def pass_over(self, prefix: Prefix) -> None:
        """Take the first rows as compared, since their text is."""
        self._sum, self.compared = prefix.row_sum, prefix.rows

    def compare(self, rows: Sequence[RawRow], first: int) -> None:
        """Compare those of these rows that have an outcome."""
        done = self.durable.done
        for index, row, entry in zip(count(first), rows, self.hashes.read(first, len(rows)), strict=False):
            if index in done:
                digest = row_digest(row)
                self._sum += row_term(index, digest)
                self._unknown = self._unknown or not entry
                if differs(entry, digest):
                    self._changed.add(index, index + 1)
                    if len(self._places) < SHOWN:
                        self._places[index] = row.place
        self.compared = first + len(rows)

    def changes(self) -> Changes | None:
        """How the rows that are done differ, all of which were compared; None if they do not."""
        missing = self.compared < self.end_of_done
        if missing or self._sum & MASK != self._expected:
            return Changes(self._changed, self._places, missing, self._unknown)
        return None

    def changes_so_far(self) -> Changes | None:
        """The same while rows that are done are still to come."""
        return Changes(self._changed, self._places, unknown=self._unknown) if self._changed else None

    def copy(self) -> KnownRows:
        """The same at this point, to be used beside it."""
        other = KnownRows(self.name, self.can_be_reopened, self.durable, self.hashes)
        other.compared, other._sum, other._places = self.compared, self._sum, dict(self._places)
        other._changed, other._unknown = Intervals(self._changed), self._unknown
        return other

    def making(self, make: Callable[[list[RawRow], int], list[Job | Failure]]) -> Callable[[list[RawRow], int], list[Job | Failure]]:
        """A maker of jobs that compares the rows which are done, before any job of their slice is given."""

        def make_jobs(rows: list[RawRow], first: int) -> list[Job | Failure]:
            made = make(rows, first)
            bad = [place for place, item in enumerate(made) if isinstance(item, Failure)]
            entries = entries_of(row_digests(rows), bad)
            if first < self.end_of_done:
                entries = self._compare_made(rows, first, entries)
            self.hashes.note(first, entries)
            return made

        return make_jobs

    def end(self) -> None:
        """See that the input did not end too early. Raises InputChangedError."""
        if self.compared < self.end_of_done:
            self._refuse(Changes(self._changed, self._places, missing=True))

    def _compare_made(self, rows: list[RawRow], first: int, entries: list[int]) -> list[int]:
        """Compare rows, and give what is to be noted of them: nothing new of those that are done."""
        self.compare(rows, first)
        if self._changed or (self.compared >= self.end_of_done and self._sum & MASK != self._expected):
            self._refuse(Changes(self._changed, self._places))
        was, done = self.hashes.read(first, len(rows)), self.durable.done
        return [old if old and index in done else new for index, old, new in zip(count(first), was, entries, strict=False)]

    def _refuse(self, changes: Changes) -> None:
        self.problem = InputChangedError(f"{self.name} has changed: {changes}", can_be_read_again=self.can_be_reopened)
        raise self.problem


def catch_up(
    open_again: OpenSource, source: Source, jobs: JobMaker | CountedJobs, durable: DurableStore, known: KnownRows
) -> Changes | None:
    """Take the source behind all rows that need no look any more; how those that are done differ from what was answered. Blocks.

    Raises InputError.
    """
    is_known = known.hashes.covers(known.end_of_done)
    changes = _compared(open_again, source, jobs, durable, known, is_known=is_known)
    if changes is None and not is_known and source.can_be_reopened:
        _note_again(open_again, known)
    return changes


def rows_unknown(name: str, hashes: RowHashes) -> InputError:
    """The refusal of an input that has changed where nobody knows any more which rows were answered."""
    return InputError(
        f"{name} has changed, and {hashes.path}, which says which rows were answered, is gone or incomplete: "
        "put that file back, or the input as it was; --fresh starts over (what is there is moved aside)"
    )


def _note_again(open_again: OpenSource, known: KnownRows) -> None:
    """Keep the hashes of rows that are done and were found to be those that were answered."""
    with closing(open_again()) as rows:
        index = 0
        while index < known.end_of_done and (taken := rows.take(SKIP_ROWS)):
            known.hashes.note(index, entries_of(row_digests(taken), range(len(taken))))  # whether they are good is not looked at
            index += len(taken)


def _compared(
    open_again: OpenSource, source: Source, jobs: JobMaker | CountedJobs, durable: DurableStore, known: KnownRows, *, is_known: bool
) -> Changes | None:
    prefix = durable.state.prefix
    text = None
    if prefix.offset and is_known and source.can_be_reopened and _begins_with(open_again, prefix):
        text = source.text_before(prefix.line, prefix.offset)
    if text is not None:
        _claim_prefix(text, jobs, known.hashes)
    else:
        prefix = durable.forget_input()
    known.pass_over(prefix)
    index = prefix.rows
    while index < durable.first_index:
        rows = source.take(min(SKIP_ROWS, durable.first_index - index))
        if not rows:
            break
        jobs.claim(rows, index)
        durable.note_rows(rows, index)
        known.compare(rows, index)
        index += len(rows)
    if durable.done_end > durable.first_index and index >= durable.first_index:
        if source.can_be_reopened:
            return _changes_ahead(open_again, prefix, known)
        return known.changes_so_far()  # the rest is compared as it comes
    return known.changes()


def _claim_prefix(pieces: Iterator[bytes], jobs: JobMaker | CountedJobs, hashes: RowHashes) -> None:
    """Claim the ids of the first rows, which are lines of JSON with nothing between them."""
    index = 0
    for text in _whole_lines(pieces):
        lines = count_lines(text)
        jobs.claim_lines(text, index, lines, all_good=hashes.are_good(index, lines))
        index += lines


def _changes_ahead(open_again: OpenSource, prefix: Prefix, known: KnownRows) -> Changes | None:
    """How all rows that are done differ, those behind one that is not included, which are read through another opening."""
    ahead = known.copy()
    with closing(open_again()) as rows:
        text = rows.text_before(prefix.line, prefix.offset) if prefix.offset else None
        for _ in text or ():
            pass
        index = 0 if text is None else prefix.rows
        while index < ahead.end_of_done and (taken := rows.take(SKIP_ROWS)):
            seen = max(0, known.compared - index)
            ahead.compare(taken[seen:], index + seen)
            index += len(taken)
    return ahead.changes()


def _begins_with(open_again: OpenSource, prefix: Prefix) -> bool:
    """Whether the input's text begins with these rows. Says no too often: then its rows are looked at one by one."""
    checksum = 0
    with closing(open_again()) as source:
        text = source.text_before(prefix.line, prefix.offset)
        if text is None:
            return False
        for lines in _whole_lines(text):
            checksum = text_checksum(lines, checksum)
    return checksum == prefix.checksum


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
    if rest:
        yield rest

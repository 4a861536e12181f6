"""The rows of an input as they are now, beside what they were when they were answered: which results still hold, and for which row.

A result holds for its row if the row has the same text and the same id, and is as good or as bad as it was. Where rows were
inserted, deleted or sorted, a result goes to the row that has the text and the id now, so that nothing is paid for twice.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.bookkeeping.fingerprint import MASK, row_digest, row_term
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.sums import crc32
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.names import numbered
from pipeline.durability.catch_up import SKIP_ROWS
from pipeline.edges.store.hashes import HASH_MASK, differs, entry_of
from pipeline.records import Failure

if TYPE_CHECKING:
    from pipeline.core.output.written import Written
    from pipeline.core.rows.jobs import JobMaker
    from pipeline.edges.store.hashes import RowHashes
    from pipeline.ports import Source

UNNAMED = 0  # in place of an id's checksum, for rows that are named by their number


@define(eq=False)
class PresentRows:
    """The rows, 17 bytes each. entries: the hashes that were kept when the rows were answered. names: checksums of their ids.

    files: the first row of each of several files, and its path. kept: rows that have a result.
    """

    entries: array[int]
    digests: array[int] = field(factory=lambda: array("I"))
    names: array[int] = field(factory=lambda: array("I"))
    lines: array[int] = field(factory=lambda: array("Q"))
    bad: bytearray = field(factory=bytearray)
    files: list[tuple[int, str]] = field(factory=list)
    kept: Intervals = field(factory=Intervals)
    _places: dict[tuple[int, int], list[int]] | None = field(default=None, init=False)  # of rows without a result of their own, last first

    @classmethod
    def read(cls, source: Source, jobs: JobMaker, entries: array[int]) -> PresentRows:
        """Read the whole input."""
        rows = cls(entries)
        while taken := source.take(SKIP_ROWS):
            made = jobs.make_jobs(taken, len(rows.digests))
            if taken[0].file is not None and (not rows.files or rows.files[-1][1] != taken[0].file):  # no slice has rows of two
                rows.files.append((len(rows.digests), taken[0].file))
            rows.digests.extend(map(row_digest, taken))
            rows.names.extend(_checksum(item.custom_id) for item in made)
            rows.lines.extend(row.line for row in taken)
            rows.bad.extend(isinstance(item, Failure) for item in made)
        return rows

    def holds(self, told: Written) -> bool:
        """Whether the input still says what it said when the row had this result."""
        index = told.index
        if index >= len(self.digests) or self.names[index] != _checksum(told.custom_id):
            return False
        return not differs(self._entry(index), self.digests[index]) and bool(self.bad[index]) == told.is_invalid

    def are_known(self, done: Intervals, row_sum: int) -> bool:
        """Whether it can be told which rows with an outcome are what they were: by their hashes, or because all of them are.

        done, row_sum: the rows of which a journal has an outcome, and what it says of them; none where there is no journal: then a
        row is taken for what it was if it has the same place and id.
        """
        runs = [range(first, end) for first, end in done]  # in order
        if all(map(self._entry, chain.from_iterable(runs))):
            return True
        if runs[-1].stop > len(self.digests):
            return False
        return sum(row_term(index, self.digests[index]) for index in chain.from_iterable(runs)) & MASK == row_sum

    def place(self, index: int) -> str:
        """Where a row stands, for people; "" if it is gone, or the input has no lines."""
        if index >= len(self.lines):
            return ""
        at = bisect_right(self.files, index, key=itemgetter(0)) - 1
        return RawRow(self.lines[index], 0, None, file=self.files[at][1] if at >= 0 else None).place

    def other_place(self, told: Written) -> int | None:
        """A row that this result answers now, since its own is another; each is given once. None if there is none."""
        entry = self._entry(told.index)
        if not entry or told.is_invalid:
            return None
        if self._places is None:
            self._places = self._rows_in_new_places()
        names = [_checksum(told.custom_id)]
        if told.custom_id == numbered(told.index):
            names.append(UNNAMED)  # the row has no id of its own, or one that looks like its number
        for name in names:
            places = self._places.get((entry & HASH_MASK, name), [])
            while places:
                index = places.pop()
                if index not in self.kept:
                    self.kept.add(index, index + 1)
                    return index
        return None

    def name_at(self, index: int, told: Written) -> str:
        """The id of the row that this result answers: its own, or else the number of its new place."""
        return told.custom_id if self.names[index] == _checksum(told.custom_id) else numbered(index)

    def note(self, hashes: RowHashes) -> None:
        """Keep the hashes of all rows."""
        for first in range(0, len(self.digests), SKIP_ROWS):
            part = range(first, min(first + SKIP_ROWS, len(self.digests)))
            hashes.note(first, [entry_of(self.digests[index], is_bad=bool(self.bad[index])) for index in part])

    def _entry(self, index: int) -> int:
        return self.entries[index] if index < len(self.entries) else 0

    def _rows_in_new_places(self) -> dict[tuple[int, int], list[int]]:
        places: dict[tuple[int, int], list[int]] = {}
        for index in reversed(range(len(self.digests))):
            digest, name = self.digests[index], self.names[index]
            if self.bad[index] or index in self.kept:
                continue
            places.setdefault((digest & HASH_MASK, name), []).append(index)
            if name == _checksum(numbered(index)):
                places.setdefault((digest & HASH_MASK, UNNAMED), []).append(index)
        return places


def _checksum(custom_id: str) -> int:
    return crc32(custom_id.encode("utf-8", "surrogatepass"))

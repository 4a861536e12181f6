"""What was read of the input: what each row is recognised by, and places from which a resume may read on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.bookkeeping.fingerprint import MASK, Prefix, row_digests, row_terms, rows_checksum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.rows.lines import RawRow

MAX_PREFIXES = 1024  # behind a slow first row every other one is dropped, so that memory stays bounded


class SeenInput(Struct, eq=False):
    """The rows that were read, slice by slice. newest: the longest prefix of the input whose rows are all done."""

    newest: Prefix
    _read: Prefix = field(default_factory=Prefix)  # all rows that were read
    _prefixes: list[Prefix] = field(default_factory=list)  # those that may become the newest, in order

    def __post_init__(self) -> None:
        self._read = self.newest

    def __len__(self) -> int:
        """How many places it remembers."""
        return len(self._prefixes)

    def note(self, rows: Sequence[RawRow], first: int) -> list[int]:
        """Note the next rows of the input, the first of which has this index; the term of each."""
        digests = row_digests(rows)
        terms = row_terms(first, digests)
        read = self._read
        if rows and first:
            self._prefixes.append(Prefix(first, rows[0].line, rows[0].offset, read.checksum, read.row_sum))
            if len(self._prefixes) > MAX_PREFIXES:
                del self._prefixes[1::2]
        self._read = Prefix(first + len(rows), 0, 0, rows_checksum(rows, digests, read.checksum), (read.row_sum + sum(terms)) & MASK)
        return terms

    def done_up_to(self, end: int) -> Prefix:
        """The newest prefix, when all rows before `end` are done."""
        while self._prefixes and self._prefixes[0].rows <= end:
            self.newest = self._prefixes.pop(0)
        return self.newest

    def forget(self) -> Prefix:
        """Begin again at the first row, with nothing known of the input; what is known then."""
        self.newest = self._read = Prefix()
        self._prefixes.clear()
        return self._read

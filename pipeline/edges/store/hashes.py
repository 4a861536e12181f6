"""Keeps a hash of every row that was read, so that a resume can say which rows of the input differ.

The file holds 4 bytes a row, at the row's index: 30 bits of its hash, a bit that says that there is one, and a bit for a
row that was bad and so claimed no id. It is written when rows are read, thus before any of them has an outcome. The
journal's sum over the rows decides whether an input has changed; this file shows where.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

ENTRY_BYTES = 4
HASH_BITS = 30
HASH_MASK = (1 << HASH_BITS) - 1
KNOWN = 1 << HASH_BITS
BAD = 1 << HASH_BITS + 1
_GOOD_TOP_BYTES = bytes(range(KNOWN >> 24, BAD >> 24))  # the highest byte of an entry that is known and not bad


def entry_of(digest: int, *, is_bad: bool) -> int:
    """What is kept of a row with this digest."""
    return digest & HASH_MASK | KNOWN | (BAD if is_bad else 0)


def entries_of(digests: Iterable[int], bad: Iterable[int]) -> list[int]:
    """What is kept of rows with these digests. bad: places of those that are bad."""
    entries = [digest & HASH_MASK | KNOWN for digest in digests]
    for place in bad:
        entries[place] |= BAD
    return entries


def differs(entry: int, digest: int) -> bool:
    """Whether a row is another than the one that is kept; False where none is kept."""
    return bool(entry & KNOWN) and (entry ^ digest) & HASH_MASK != 0


class RowHashes(Struct, eq=False):
    """An open file of row hashes. Close it. All calls block for as long as the page cache takes."""

    path: Path
    _descriptor: int = -1

    @classmethod
    def open(cls, path: Path) -> RowHashes:
        """Open or create it. Raises JournalError."""
        try:
            return cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise JournalError(path, f"cannot be opened: {error.strerror}") from error

    def note(self, first: int, entries: Sequence[int]) -> None:
        """Keep the entries of rows in sequence. Raises JournalError when the disk is full."""
        data = struct.pack(f"<{len(entries)}I", *entries)
        try:
            done = os.pwrite(self._descriptor, data, first * ENTRY_BYTES)
            if done < len(data):  # the disk is nearly full; the rest says so
                os.pwrite(self._descriptor, data[done:], first * ENTRY_BYTES + done)
        except OSError as error:
            raise JournalError(self.path, f"cannot be written: {error.strerror}") from error

    def read(self, first: int, count: int) -> tuple[int, ...]:
        """The entries of rows in sequence; 0 where there is none. Raises JournalError."""
        data = self._read(first, count)
        return struct.unpack(f"<{count}I", data.ljust(count * ENTRY_BYTES, b"\0"))

    def read_all(self) -> array[int]:
        """The entries of all rows. Raises JournalError."""
        try:
            size = os.fstat(self._descriptor).st_size // ENTRY_BYTES
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error
        entries = array("I", self._read(0, size))
        if sys.byteorder == "big":
            entries.byteswap()
        return entries

    def covers(self, rows: int) -> bool:
        """Whether there is an entry for each of the first rows: somebody may have deleted the file, or the machine lost its end."""
        return len(self._read(rows - 1, 1)) == ENTRY_BYTES if rows else True

    def are_good(self, first: int, count: int) -> bool:
        """Whether all these rows are known, and none of them is bad. Raises JournalError."""
        data = self._read(first, count)
        return len(data) == count * ENTRY_BYTES and not data[3::4].translate(None, _GOOD_TOP_BYTES)

    def close(self) -> None:
        """Close the file. May be called twice. Raises JournalError if the disk reports an error."""
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if descriptor >= 0:
                os.close(descriptor)
        except OSError as error:
            raise JournalError(self.path, f"cannot be closed: {error.strerror}") from error

    def _read(self, first: int, count: int) -> bytes:
        try:
            return os.pread(self._descriptor, count * ENTRY_BYTES, first * ENTRY_BYTES)
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error

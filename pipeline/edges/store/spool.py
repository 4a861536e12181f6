"""Saves the newest outcomes from the death of the process, until the journal or the output has them.

Theory of operation. A worker puts the line of its outcome here before it takes another row, so a process that is killed has
no more to send again than was in flight. A commit of the journal for each outcome would cost more than the rest of the row.

There are two files, because short and long lines want different things:

- Short lines go one behind the other into segments of a file that is mapped into memory. A write is a copy in memory; the
  kernel has it, whatever becomes of the process. Segments are forgotten in generations. `rotate` closes the current
  generation: from then on lines go to new segments. `clear` forgets the closed one and reuses its segments. The owner
  rotates after a commit at which every line in the spool was recorded, and clears after the next commit: that one has
  stored in the journal whatever of the closed generation the output still lacked. So a line is here for two commits, and
  most lines are never written to the journal at all.
- Long lines (`LONG_BYTES` and more) each get a slot in a second file; see `long_lines`. They stay in their slots, and out
  of memory, until the output has them, and are forgotten one by one.

A line is found again by a number that counts all lines of both files, so that they come back in the order in which they
were put. `owner` is the journal's own name, so that no other journal takes the lines. What is half written when the process
dies has a wrong checksum, and is ignored.

`open` reserves room on the disk, and a line is only put where room is reserved: writing to a map of a full disk would kill
the process. `put` says False where there is no more room.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

from pipeline.core.bookkeeping.sums import crc32
from pipeline.edges.store.files import allocate, opened_to_read, put_back
from pipeline.edges.store.long_lines import LongLines, Slot
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT_BYTES = 1 << 20  # some hundred lines
FIRST_SEGMENTS = 2  # reserved by `open`: one for each generation
LONG_BYTES = 64 << 10  # from here on a write of its own costs less than SQLite does: half at 64 kB, a fifth at 1 MB
OWNER_BYTES = 16
_HEAD = struct.Struct(f"={OWNER_BYTES}s")  # of a segment: whose it is
_RECORD = struct.Struct("=IIQQ")  # length of the line, checksum over line, term and number, term, number
RECORD_BYTES = _RECORD.size
_END = bytes(RECORD_BYTES)
_put_head = _RECORD.pack_into


class _Segment:
    """A piece of the file. used: bytes that hold something."""

    __slots__ = ("map", "used")

    def __init__(self, mapped: mmap.mmap) -> None:
        self.map = mapped
        self.used = 0

    def begin(self, owner: bytes) -> None:
        self.map[: _HEAD.size + RECORD_BYTES] = _HEAD.pack(owner) + _END
        self.used = _HEAD.size


class Spool:
    """Lines with their rows' terms (what the rows are recognised by). Owns its files; close it."""

    def __init__(self, path: Path, owner: bytes) -> None:
        self.path = path
        self.owner = owner
        self._descriptor = -1
        self._size = 0  # segments in the file
        self._number = 0  # of the newest line
        self._newest: _Segment | None = None  # of the current generation
        self._current: list[_Segment] = []
        self._closed: list[_Segment] = []
        self._free: list[_Segment] = []
        self._long = LongLines(path.with_name(path.name + ".long"), owner)

    def open(self) -> None:
        """Make the file and reserve its first segments. Raises JournalError if the disk has no room."""
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._free = [self._extend() for _ in range(FIRST_SEGMENTS)][::-1]
        except OSError as error:
            raise JournalError(self.path, f"cannot be created: {error.strerror}") from error

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Term and line of all that an earlier process has left here, oldest first, one at a time. Raises JournalError."""
        try:
            yield from self._lines()
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with opened_to_read(self.path) as short, opened_to_read(self._long.path) as long:
            found = [(*line, short) for line in self._short_lines(short)] + [(*line, long) for line in self._long.found(long)]
            for _, term, at, length, descriptor in sorted(found):
                yield term, os.pread(descriptor, length, at)

    def _short_lines(self, descriptor: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, term, offset and length of every short line in the file."""
        size = 0 if descriptor < 0 else os.fstat(descriptor).st_size
        for start in range(0, size - SEGMENT_BYTES + 1, SEGMENT_BYTES):
            segment = os.pread(descriptor, SEGMENT_BYTES, start)
            if segment[:OWNER_BYTES] == self.owner:
                for number, term, at, length in _records(segment):
                    yield number, term, start + at, length

    def put(self, line: bytes, term: int) -> bool:
        """Take a line; False if there is no room for it, on the disk or in a segment."""
        self._number = number = self._number + 1
        length = len(line)
        segment = self._newest
        if segment is None or segment.used + length > SEGMENT_BYTES - 2 * RECORD_BYTES:
            segment = self._next_segment(length)
            if segment is None:
                return False
        at = segment.used
        segment.used = end = at + RECORD_BYTES + length
        # The line is written first, with the end mark behind it, and its head last: a record counts from then on.
        segment.map[at + RECORD_BYTES : end + RECORD_BYTES] = line + _END
        _put_head(segment.map, at, length, crc32(line, (term ^ term >> 32 ^ number) & 0xFFFFFFFF), term, number)
        return True

    def _next_segment(self, length: int) -> _Segment | None:
        """A new segment for a line of this length; None if there is no room for it."""
        if _HEAD.size + length > SEGMENT_BYTES - 2 * RECORD_BYTES or self._descriptor < 0:
            return None
        try:
            segment = self._free.pop() if self._free else self._extend()
        except OSError:
            return None  # the journal's error will say that the disk is full
        segment.begin(self.owner)
        self._current.append(segment)
        self._newest = segment
        return segment

    @property
    def holds_long(self) -> bool:
        """Whether it holds long lines."""
        return self._long.used > 0

    def put_long(self, line: bytes, term: int) -> Slot | None:
        """Take a long line into a slot of its own; None if there is no room for it on the disk."""
        self._number += 1
        return self._long.put(line, term, self._number)

    def reserve_long(self, length: int) -> tuple[Slot, int] | None:
        """A slot for a line that `fill_long` will write, and the line's number; None if there is no room for it on the disk."""
        self._number += 1
        slot = self._long.reserve(length)
        return None if slot is None else (slot, self._number)

    def fill_long(self, slot: Slot, line: bytes, term: int, number: int) -> bool:
        """Write a line into its slot, in any thread; False if the disk refuses, and then the slot is to be given back."""
        return self._long.fill(slot, line, term, number)

    def give_back(self, slot: Slot) -> None:
        """Use a slot for another line, as nothing whole was written into it."""
        self._long.give_back(slot)

    def rotate(self) -> None:
        """Close the current generation."""
        self._closed += self._current
        self._current, self._newest = [], None

    def clear(self) -> None:
        """Forget the closed generation."""
        for segment in self._closed:
            segment.begin(bytes(OWNER_BYTES))
        self._free += self._closed
        self._closed = []

    def free(self, slots: list[Slot]) -> None:
        """Forget long lines. Raises JournalError."""
        try:
            if slots:
                self._long.free(slots)
        except OSError as error:
            raise JournalError(self._long.path, f"cannot be written: {error.strerror}") from error

    def put_back(self) -> None:
        """Give a file that was deleted its name again, with all that is in it. Raises OSError."""
        if self._descriptor >= 0 and not self.path.exists():
            put_back(self._descriptor, self.path)
        self._long.put_back()

    def remove(self) -> None:
        """Forget everything, files and all. Raises JournalError."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
            self._long.path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(self.path, f"cannot be removed: {error.strerror}") from error

    def close(self) -> None:
        """Close the files; what is in them stays. May be called twice. Raises JournalError if the disk reports an error."""
        for segment in (*self._current, *self._closed, *self._free):
            segment.map.close()
        self._current, self._closed, self._free, self._newest, self._size = [], [], [], None, 0
        descriptor, self._descriptor = self._descriptor, -1
        try:
            self._long.close()
            if descriptor >= 0:
                os.close(descriptor)
        except OSError as error:
            raise JournalError(self.path, f"cannot be closed: {error.strerror}") from error

    def _extend(self) -> _Segment:
        allocate(self._descriptor, self._size * SEGMENT_BYTES, SEGMENT_BYTES)
        segment = _Segment(mmap.mmap(self._descriptor, SEGMENT_BYTES, offset=self._size * SEGMENT_BYTES))
        self._size += 1
        return segment


def _records(segment: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number, term, offset and length of the whole lines in a segment."""
    at = _HEAD.size
    while at + RECORD_BYTES <= len(segment):
        length, checksum, term, number = _RECORD.unpack_from(segment, at)
        at += RECORD_BYTES
        if not length or _checksum(segment[at : at + length], term, number) != checksum:
            return  # the end, or what was being written when the process died
        yield number, term, at, length
        at += length


def _checksum(line: bytes, term: int, number: int) -> int:
    return crc32(line, (term ^ term >> 32 ^ number) & 0xFFFFFFFF)

"""Long lines on disk, each in a slot of its own, so that an answer of any size survives the process and takes no memory.

A slot starts at a page's start: a head that says whose it is, which line, and its checksum; then the line. A slot that is
freed loses its owner, and is used again for a line that fits. When nothing is left in a large file, it is emptied.
Everything here blocks for as long as the kernel takes to copy a line.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.bookkeeping.sums import crc32
from pipeline.edges.store.files import put_back
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = 4096
KEPT_BYTES = 64 << 20  # a file that has grown beyond this is emptied when nothing is in it
READ_BYTES = 4 << 20
OWNER_BYTES = 16
_HEAD = struct.Struct(f"={OWNER_BYTES}sQQII")  # owner, number, term, length of the line, checksum over line, term and number


class Slot(Struct, eq=False):
    """Where a long line is. room: bytes of the slot, its head included."""

    lines: LongLines
    start: int
    room: int
    length: int

    def read(self) -> bytes:
        """The line. Raises JournalError."""
        return self.lines.read(self.start, self.length)

    def read_into(self, buffer: memoryview) -> None:
        """Fill a buffer of its length with the line. Raises JournalError."""
        self.lines.read_into(buffer, self.start)

    def pieces(self, buffer: memoryview) -> Iterator[memoryview]:
        """The line, piece by piece in this buffer: each must be used before the next. Raises JournalError."""
        for at in range(0, self.length, len(buffer)):
            piece = buffer[: self.length - at]
            self.lines.read_into(piece, self.start, at)
            yield piece


class LongLines(Struct, eq=False):
    """The file of slots. It is made with the first line; close it. used: slots that hold a line."""

    path: Path
    owner: bytes
    _descriptor: int = -1
    _end: int = 0  # of the file
    used: int = 0
    _free: list[tuple[int, int]] = field(default_factory=list)  # room and start of free slots, smallest first

    def put(self, line: bytes, term: int, number: int) -> Slot | None:
        """Write a line; None if the disk refuses."""
        slot = self.reserve(len(line))
        if slot is not None and not self.fill(slot, line, term, number):
            self.give_back(slot)
            return None
        return slot

    def reserve(self, length: int) -> Slot | None:
        """A slot for a line that `fill` will write; None if the file cannot be made."""
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            except OSError:
                return None
        size = -(-(_HEAD.size + length) // PAGE) * PAGE
        at = bisect_left(self._free, (size, 0))
        if at < len(self._free):
            room, start = self._free.pop(at)
        else:
            room, start = size, self._end
            self._end += size
        self.used += 1
        return Slot(self, start, room, length)

    def fill(self, slot: Slot, line: bytes, term: int, number: int) -> bool:
        """Write a line into its slot; False if the disk refuses. May run in another thread while other slots are reserved."""
        head = _HEAD.pack(self.owner, number, term, len(line), _checksum(line, term, number))
        try:
            done = os.pwritev(self._descriptor, (head, line), slot.start)
            while done < len(head) + len(line):  # the disk is nearly full, or a signal came: the next call says which
                done += os.pwrite(self._descriptor, memoryview(head + line)[done:], slot.start + done)
        except OSError:
            return False
        return True

    def give_back(self, slot: Slot) -> None:
        """Use a slot for another line, as nothing whole was written into it."""
        insort(self._free, (slot.room, slot.start))
        self.used -= 1

    def read(self, start: int, length: int) -> bytes:
        """The line in a slot. Raises JournalError."""
        at, end = start + _HEAD.size, start + _HEAD.size + length
        try:  # in pieces: one read of 60 MB into new memory can keep every other thread waiting for 50 ms, in the kernel
            line = b"".join([os.pread(self._descriptor, min(READ_BYTES, end - place), place) for place in range(at, end, READ_BYTES)])
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error
        if len(line) < length:
            raise self._cut()
        return line

    def read_into(self, buffer: memoryview, start: int, skip: int = 0) -> None:
        """Fill a buffer with the line in a slot, from behind so many bytes of it. Raises JournalError."""
        try:
            taken = os.preadv(self._descriptor, (buffer,), start + _HEAD.size + skip)
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error
        if taken < len(buffer):
            raise self._cut()

    def _cut(self) -> JournalError:
        return JournalError(self.path, "has lost an answer: somebody has cut the file; run again")

    def free(self, slots: list[Slot]) -> None:
        """Forget lines. Raises OSError."""
        for slot in slots:
            os.pwrite(self._descriptor, bytes(OWNER_BYTES), slot.start)
            insort(self._free, (slot.room, slot.start))
        self.used -= len(slots)
        if not self.used and self._end > KEPT_BYTES:
            os.ftruncate(self._descriptor, 0)
            self._free, self._end = [], 0

    def found(self, descriptor: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, term, offset and length of every whole line in a file that an earlier process has left. Raises OSError."""
        at, size = 0, 0 if descriptor < 0 else os.fstat(descriptor).st_size
        while at + _HEAD.size <= size:
            owner, number, term, length, checksum = _HEAD.unpack(os.pread(descriptor, _HEAD.size, at))
            start = at + _HEAD.size
            at += PAGE
            if owner == self.owner and _checksum(os.pread(descriptor, length, start), term, number) == checksum:
                yield number, term, start, length
                at += (_HEAD.size + length - 1) // PAGE * PAGE

    def put_back(self) -> None:
        """Give a file that was deleted its name again. Raises OSError."""
        if self._descriptor >= 0 and not self.path.exists():
            put_back(self._descriptor, self.path)

    def close(self) -> None:
        """Close the file. Raises OSError."""
        self._free, self._end, self.used = [], 0, 0
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _checksum(line: bytes, term: int, number: int) -> int:
    return crc32(line, (term ^ term >> 32 ^ number) & 0xFFFFFFFF)

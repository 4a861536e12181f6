"""The newest outcomes, until the journal or the output has them: a file that is mapped into memory, and so survives the process.

An outcome is here before its slot is free for another row; so a process that is killed never has more to send again than was
in flight. A visit to SQLite for each would cost more than the rest of the row.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING
from zlib import crc32

from attrs import define, field

from pipeline.edges.store.marks import allocate
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEGMENT_BYTES = 1 << 20  # some hundred lines; a longer line goes straight to the journal
OWNER_BYTES = 16
_HEAD = struct.Struct(f"={OWNER_BYTES}sQ")  # of a segment: whose it is; its number, for the order among segments
_RECORD = struct.Struct("=IIQ")  # length of the line, checksum over line and term, term
_END = bytes(_RECORD.size)


@define(eq=False)
class _Segment:
    """A piece of the file. used: bytes that hold something."""

    map: mmap.mmap
    used: int = 0

    def begin(self, owner: bytes, number: int) -> None:
        self.map[: _HEAD.size + _RECORD.size] = _HEAD.pack(owner, number) + _END
        self.used = _HEAD.size

    def put(self, record: bytes) -> bool:
        end = self.used + len(record)
        if end + _RECORD.size > SEGMENT_BYTES:
            return False
        # What ends the records stands behind this one before its own head says that there is one.
        self.map[self.used + _RECORD.size : end + _RECORD.size] = record[_RECORD.size :] + _END
        self.map[self.used : self.used + _RECORD.size] = record[: _RECORD.size]
        self.used = end
        return True


@define(eq=False)
class Spool:
    """Lines with their rows' terms, in two generations: what `turn` has set aside is forgotten by `clear`, and the rest stays.

    owner: the journal that it belongs to, so that no other takes its lines. Owns its file, which is made with the first line.
    """

    path: Path
    owner: bytes
    _descriptor: int = field(default=-1, init=False)
    _size: int = field(default=0, init=False)  # segments in the file
    _number: int = field(default=0, init=False)  # segments begun
    _current: list[_Segment] = field(factory=list, init=False)
    _aside: list[_Segment] = field(factory=list, init=False)
    _free: list[_Segment] = field(factory=list, init=False)

    def lines(self) -> list[tuple[int, bytes]]:
        """Term and line of all that an earlier process has left here, oldest first. Raises JournalError."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error
        heads = [(at, *_HEAD.unpack_from(data, at)) for at in range(0, len(data) - SEGMENT_BYTES + 1, SEGMENT_BYTES)]
        own = sorted((number, at) for at, owner, number in heads if owner == self.owner)
        return [line for _, at in own for line in _records(data[at : at + SEGMENT_BYTES])]

    def put(self, line: bytes, term: int) -> bool:
        """Take a line; False if there is no room for it, on the disk or in a segment."""
        record = _RECORD.pack(len(line), _checksum(line, term), term) + line
        if self._current and self._current[-1].put(record):
            return True
        if _HEAD.size + len(record) + _RECORD.size > SEGMENT_BYTES:
            return False
        segment = self._free.pop() if self._free else self._extend()
        if segment is None:
            return False
        self._number += 1
        segment.begin(self.owner, self._number)
        self._current.append(segment)
        return segment.put(record)

    def turn(self) -> None:
        """Set all that is here aside, to be forgotten by the next `clear`."""
        self._aside += self._current
        self._current = []

    def clear(self) -> None:
        """Forget what was set aside."""
        for segment in self._aside:
            segment.begin(bytes(OWNER_BYTES), 0)
        self._free += self._aside
        self._aside = []

    def remove(self) -> None:
        """Forget everything, file and all. Raises JournalError."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise JournalError(self.path, f"cannot be removed: {error.strerror}") from error

    def close(self) -> None:
        """Give the file back; what is in it stays. May be called twice."""
        for segment in (*self._current, *self._aside, *self._free):
            segment.map.close()
        self._current, self._aside, self._free, self._size = [], [], [], 0
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _extend(self) -> _Segment | None:
        try:
            if self._descriptor < 0:
                self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            allocate(self._descriptor, self._size * SEGMENT_BYTES, SEGMENT_BYTES)
            segment = _Segment(mmap.mmap(self._descriptor, SEGMENT_BYTES, offset=self._size * SEGMENT_BYTES))
        except OSError:
            return None  # the journal will say that the disk is full, if it is
        self._size += 1
        return segment


def _records(segment: bytes) -> Iterator[tuple[int, bytes]]:
    at = _HEAD.size
    while at + _RECORD.size <= len(segment):
        length, checksum, term = _RECORD.unpack_from(segment, at)
        at += _RECORD.size
        line = segment[at : at + length]
        if not length or _checksum(line, term) != checksum:
            return  # the end, or what was being written when the process died
        yield term, line
        at += length


def _checksum(line: bytes, term: int) -> int:
    return crc32(line, (term ^ term >> 32) & 0xFFFFFFFF)

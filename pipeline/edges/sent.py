"""Which rows were sent: a byte a row in a file that is mapped into memory, and so survives the death of the process.

A row that is marked and has no outcome may have been billed. The file is also the lock of its run: it dies with its process.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.errors import JournalError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.intervals import Intervals

CHUNK = 1 << 20  # rows a map
MAPS = 4  # kept at once: rows in flight lie close together, but for a slow one
SENT = 1


@define(eq=False)
class SentMarks:
    """The open file of marks. Held by one run at a time."""

    path: Path
    _descriptor: int
    _maps: dict[int, mmap.mmap] = field(factory=dict, init=False)

    @classmethod
    def open(cls, path: Path) -> SentMarks:
        """Open or create it, and lock it. Raises UsageError while another run has it, JournalError if it cannot be opened."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(path, f"cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UsageError(f"{path.with_suffix('')} is in use by another run; wait until it has ended, or write somewhere else") from None
        return cls(path, descriptor)

    def mark(self, index: int) -> None:
        """Note that an attempt for a row leaves now. Raises JournalError when the disk takes no more."""
        chunk = index // CHUNK
        marks = self._maps.get(chunk)
        if marks is None:
            marks = self._map(chunk)
        marks[index % CHUNK] = SENT

    def take_unknown(self, done: Intervals) -> int:
        """Count the rows that were sent and are not done, and forget that they were sent."""
        length = os.fstat(self._descriptor).st_size
        unknown = at = 0
        for first, end in [*done, (length, length)]:
            if at < min(first, length):
                unknown += os.pread(self._descriptor, min(first, length) - at, at).count(SENT)
            at = max(at, end)
        os.ftruncate(self._descriptor, 0)
        return unknown

    def forget(self) -> None:
        """Nothing is in flight any more: no mark says anything."""
        self._unmap()
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Give the file and its lock back. May be called twice."""
        self._unmap()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _unmap(self) -> None:
        for marks in self._maps.values():
            marks.close()
        self._maps.clear()

    def _map(self, chunk: int) -> mmap.mmap:
        end = (chunk + 1) * CHUNK
        try:
            if os.fstat(self._descriptor).st_size < end:
                os.posix_fallocate(self._descriptor, chunk * CHUNK, CHUNK)  # a write into a hole of a full disk would kill us
            marks = mmap.mmap(self._descriptor, CHUNK, offset=chunk * CHUNK)
        except OSError as error:
            raise JournalError(self.path, f"takes no more: {error.strerror}") from error
        if len(self._maps) >= MAPS:
            self._maps.pop(next(iter(self._maps))).close()
        self._maps[chunk] = marks
        return marks

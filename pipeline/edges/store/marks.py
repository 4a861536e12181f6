"""Which rows were sent: a byte per row in a file that is mapped into memory, and so survives the death of the process.

A row that is marked and has no outcome may have been billed. The file is also the lock of its run: the lock ends with the process.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.edges.store.files import BusyError, allocate, identity
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.bookkeeping.intervals import Intervals

CHUNK = 1 << 20  # rows per map
MAPS = 4  # kept at once: rows in flight lie close together, but for a slow one
SENT = 1
LOCK_TRIES = 5  # `is_locked` in another process takes the lock for some microseconds
LOCK_SECONDS = 0.02


class SentMarks(Struct, eq=False):
    """The open file of marks. Held by one run at a time. is_new: it was not there before."""

    path: Path
    _descriptor: int
    is_new: bool = False
    _maps: dict[int, mmap.mmap] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> SentMarks:
        """Open or create it, and lock it. Raises BusyError while another run has it, JournalError if it cannot be opened."""
        while True:
            try:
                is_new = not path.exists()
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise JournalError(path, f"cannot be opened: {error.strerror}") from error
            try:
                _lock(path, descriptor)
                if identity(path) == _identity_of(descriptor):
                    return cls(path, descriptor, is_new)
                os.close(descriptor)  # a start that was refused has removed it meanwhile
            except BaseException:
                os.close(descriptor)
                raise

    def reserve(self, index: int) -> None:
        """Reserve room for marks from this row on: a full disk is told before anything is sent. Raises JournalError."""
        self._map(index // CHUNK, "created")

    def mark(self, index: int) -> None:
        """Note that an attempt for a row leaves now. Raises JournalError when the disk is full."""
        marks = self._maps.get(index // CHUNK) or self._map(index // CHUNK)
        marks[index % CHUNK] = SENT

    def unmark(self, index: int) -> None:
        """Note that the attempt has ended without an outcome, and that it is known what became of it."""
        marks = self._maps.get(index // CHUNK) or self._map(index // CHUNK)
        marks[index % CHUNK] = 0

    def unknown(self, done: Intervals, rows: int | None = None) -> int:
        """How many rows were sent and are not done. rows: of the input, behind which there are no marks; None if its end was not seen.

        Raises JournalError.
        """
        try:
            length = os.fstat(self._descriptor).st_size
            length = length if rows is None else min(length, rows)  # what is reserved behind them is as large as a million rows
            unknown = at = 0
            for first, end in [*done, (length, length)]:
                if at < min(first, length):
                    unknown += self._count(at, min(first, length))
                at = max(at, end)
        except OSError as error:
            raise JournalError(self.path, f"cannot be read: {error.strerror}") from error
        return unknown

    def _count(self, first: int, end: int) -> int:
        count = 0
        for at in range(first, end, CHUNK):
            marks = os.pread(self._descriptor, min(CHUNK, end - at), at)
            count += marks.count(SENT) if SENT in marks else 0  # to look whether there is one takes a tenth of counting none
        return count

    def forget(self) -> None:
        """Clear all marks: nothing is in flight any more. Raises JournalError."""
        self._unmap()
        try:
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise JournalError(self.path, f"cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file and release its lock. May be called twice. Raises JournalError."""
        self._unmap()
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if descriptor >= 0:
                os.close(descriptor)
        except OSError as error:
            raise JournalError(self.path, f"cannot be closed: {error.strerror}") from error

    def _unmap(self) -> None:
        for marks in self._maps.values():
            marks.close()
        self._maps.clear()

    def _map(self, chunk: int, what: str = "written") -> mmap.mmap:
        try:
            allocate(self._descriptor, chunk * CHUNK, CHUNK)
            marks = mmap.mmap(self._descriptor, CHUNK, offset=chunk * CHUNK)
        except OSError as error:
            raise JournalError(self.path, f"cannot be {what}: {error.strerror}") from error
        if len(self._maps) >= MAPS:
            self._maps.pop(next(iter(self._maps))).close()
        self._maps[chunk] = marks
        return marks


def _identity_of(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _lock(path: Path, descriptor: int) -> None:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_SECONDS)
        except OSError as error:
            raise JournalError(path, f"cannot be locked: {error.strerror}; use a local disk (journal.path)") from error
        else:
            return
    raise BusyError(f"{path.with_suffix('')} is in use by another run; wait until it has ended, or write somewhere else")


def is_locked(path: Path) -> bool:
    """Whether a run has the marks now. Takes the lock for an instant; `SentMarks.open` tries again for that reason."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False

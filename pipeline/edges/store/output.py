"""Writes the output file: appends whole lines, never overwrites, and leaves no broken line behind if that can be helped.

All calls block and belong in a thread. Nothing is buffered: what `write` took, the operating system has. A file that is open
here is locked; `OutputLock` is for code that renames an output and must not take it from a run.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.edges.store.files import MODE, BusyError, free_name, identity, put_back
from pipeline.errors import OutputChangedError, OutputExistsError, SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

READ_BYTES = 1 << 20  # at once


class FileSink:
    """An output that only grows. Owns its file; close it.

    name: for messages. bytes_written: of the file, as far as they are accounted for.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.name = str(path)
        self.bytes_written = 0
        self._path = path
        self._hash = hashlib.sha256()
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path) -> FileSink:
        """Make an output, readable by its owner only, and the folders above it.

        Raises OutputExistsError if there is one; UsageError if it cannot be created.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, MODE))
        except FileExistsError:
            if path.parent.is_dir():
                raise OutputExistsError(path) from None
            raise UsageError(f"{path}: the output cannot be created: {path.parent} is a file") from None
        except OSError as error:
            raise UsageError(f"{path}: the output cannot be created: {error.strerror or error}") from error

    @classmethod
    def resume(cls, path: Path, size: int, *, create: bool) -> FileSink:
        """Open an output to append to its first `size` bytes, whose digest it takes. Locked until it is closed.

        What stands behind them is still there: see `tail` and `cut`. create: make it if it is not there.

        Raises OutputChangedError if it is gone or holds less; UsageError if it cannot be opened, or another run has it.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, flags, MODE)
        except FileNotFoundError:
            raise OutputChangedError(f"{path} is gone, although its journal says that {size:,} bytes were written") from None
        except OSError as error:
            raise UsageError(f"{path}: the output cannot be opened: {error.strerror or error}") from error
        sink = cls(path, descriptor)
        try:
            sink._go_on(size)
        except BaseException:
            sink.close()
            raise
        return sink

    def _go_on(self, size: int) -> None:
        _lock(self._path, self._descriptor)
        try:
            held = os.fstat(self._descriptor).st_size
            if held < size:
                raise OutputChangedError(f"{self.name} holds {held:,} bytes, although its journal says that {size:,} were written")
            while self.bytes_written < size:
                piece = os.pread(self._descriptor, min(READ_BYTES, size - self.bytes_written), self.bytes_written)
                if not piece:
                    raise OutputChangedError(f"{self.name} became shorter while it was read")
                self.account(piece)
        except OSError as error:
            raise UsageError(f"{self.name}: the output cannot be read: {error.strerror or error}") from error

    def tail(self) -> Iterator[bytes]:
        """What the file holds behind all that is accounted for, in pieces. Raises SinkError."""
        at = self.bytes_written
        try:
            while piece := os.pread(self._descriptor, READ_BYTES, at):
                at += len(piece)
                yield piece
        except OSError as error:
            raise SinkError(self.name, error) from error

    def cut(self) -> None:
        """Cut off what stands behind all that is accounted for. Raises SinkError."""
        try:
            os.ftruncate(self._descriptor, self.bytes_written)
        except OSError as error:
            raise SinkError(self.name, error) from error

    @property
    def digest(self) -> str:
        """SHA-256 over all that is accounted for, in hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> None:
        """Append whole lines.

        Raises SinkError when the disk is full or fails, or when somebody has changed the file (see `check`). It is then cut
        back to its last whole line, and `digest` and `bytes_written` say what it holds.
        """
        self.check()
        done = 0
        view = memoryview(data)
        try:
            while done < len(data):
                done += os.write(self._descriptor, view[done:])
        except OSError as error:
            self.account(data[: self._cut_back(bytes(data), done)])
            raise SinkError(self.name, error) from error
        self.account(data)

    def write_line(self, pieces: Iterable[memoryview]) -> None:
        """Append one long line that comes in pieces.

        Raises SinkError as `write` does, and whatever the pieces raise. Of a line that is not whole nothing is left.
        """
        self.check()
        start, digest = self.bytes_written, self._hash.copy()
        try:
            for piece in pieces:
                done = 0
                while done < len(piece):
                    more = os.write(self._descriptor, piece[done:])
                    self.account(piece[done : done + more])
                    done += more
        except BaseException as error:
            with suppress(OSError):  # then the torn line is accounted for
                os.ftruncate(self._descriptor, start)
                self.bytes_written, self._hash = start, digest
            if isinstance(error, OSError):
                raise SinkError(self.name, error) from error
            raise

    def check(self) -> None:
        """See that nobody has deleted, replaced or changed the file.

        Raises SinkError. What was written is not lost with a deleted file: it is written again, or beside it if the name is taken.
        """
        try:
            held = os.fstat(self._descriptor)
            there = identity(self._path)
            if there == (held.st_dev, held.st_ino):
                if held.st_size != self.bytes_written:
                    problem = f"somebody else has changed it: it has {held.st_size:,} bytes, and {self.bytes_written:,} were written"
                    raise SinkError(self.name, OSError(errno.ESTALE, problem))
                return
            problem = self._rescue(is_free=there is None, is_deleted=held.st_nlink == 0)
        except OSError as error:
            raise SinkError(self.name, error) from error
        raise SinkError(self.name, OSError(errno.ESTALE, problem))

    def _rescue(self, *, is_free: bool, is_deleted: bool) -> str:
        """Give what was written a name again, if it has none; what happened, for people."""
        what = "it was deleted" if is_free else "another file was put in its place"
        if not is_deleted:
            return f"{what.replace('deleted', 'moved away')} while the run wrote to it; move it back before you run again"
        target = self._path if is_free else free_name(self._path)
        put_back(self._descriptor, target, self.bytes_written)
        if is_free:
            return f"{what} while the run wrote to it; what was written is there again, so run again"
        return f"{what} while the run wrote to it; what was written is in {target}: put that back before you run again"

    def sync(self) -> None:
        """Wait until the disk has all that was written. Raises SinkError."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise SinkError(self.name, error) from error

    def account(self, data: bytes | memoryview) -> None:
        """Count bytes that are in the file as written."""
        self._hash.update(data)
        self.bytes_written += len(data)

    def close(self) -> None:
        """Close the file. May be called twice. Raises SinkError if the disk reports an error at last."""
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if descriptor >= 0:
                os.close(descriptor)
        except OSError as error:
            raise SinkError(self.name, error) from error

    def _cut_back(self, data: bytes, done: int) -> int:
        """Cut a torn line off, if the disk lets us. Returns how much of data is left in the file."""
        whole = data.rfind(b"\n", 0, done) + 1
        try:
            os.ftruncate(self._descriptor, self.bytes_written + whole)
        except OSError:
            return done
        return whole


class OutputLock(Struct, eq=False):
    """Keeps other runs from an output while it is renamed; refused where one writes to it. Close it."""

    _descriptor: int

    @classmethod
    def take(cls, path: Path) -> OutputLock:
        """Lock the output, if there is one. Raises UsageError while a run has it."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return cls(-1)  # there is none, or nobody can write to it
        try:
            _lock(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def close(self) -> None:
        """Release the lock. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _lock(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"{path} is being written by another run; wait until it has ended, or write somewhere else") from None
    except OSError:
        pass  # a file system without locks; the journal's lock holds

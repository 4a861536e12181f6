"""Writes the output file: appends whole lines, never overwrites, and leaves no broken line behind if that can be helped.

All writing blocks and belongs in a thread. Nothing is buffered: what `write` took, the operating system has.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import select
import stat
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

from pipeline.edges.store.files import identity
from pipeline.errors import OutputChangedError, OutputExistsError, SinkError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODE = 0o600  # answers may be confidential
HASH_BYTES = 1 << 20  # read at once
STDOUT = {"-", "/dev/stdout", "/dev/fd/1"}


class FileSink:
    """An output that only grows. Owns its file; close it."""

    def __init__(self, name: str, descriptor: int, *, owned: bool = True) -> None:
        self.name = name
        self.bytes_written = 0
        self._hash = hashlib.sha256()
        self._descriptor = descriptor
        self._owned = owned
        self._start = _size(descriptor)  # None where there is nothing to cut back: a pipe, a device
        self._path: Path | None = None  # set where the name must go on meaning this file

    @classmethod
    def open(cls, path: str | Path, *, fresh: bool = False) -> FileSink:
        """Create the output, readable by its owner only, and the directories above it; "-" is stdout.

        fresh: an output that is there is moved aside to the first free `PATH.1`, `PATH.2` … A pipe or device is
        written to as it is, and waits for its reader.

        Raises OutputExistsError if a file is there and may not be moved; UsageError if it cannot be created.
        """
        if str(path) in STDOUT:
            sys.stdout.flush()
            return cls("stdout", sys.stdout.fileno(), owned=False)
        path = Path(path)
        try:
            return cls(str(path), _create(path, fresh=fresh))
        except OSError as error:
            raise UsageError(f"{path}: the output cannot be created: {error.strerror or error}") from error

    @classmethod
    def resume(cls, path: Path, size: int, *, create: bool) -> FileSink:
        """Open an output to append to its first `size` bytes, whose digest it takes. Locked until it is closed.

        What stands behind them is there still: see `tail` and `cut`. create: make it if it is not there.

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
        sink = cls(str(path), descriptor)
        try:
            sink._go_on(size)
        except BaseException:
            sink.close()
            raise
        sink._path = path
        return sink

    def _go_on(self, size: int) -> None:
        held = _size(self._descriptor)
        if held is None:
            raise UsageError(f"{self.name} is no file, so no run can go on in it; name a file, and read it as it grows (tail -f)")
        _lock(self.name, self._descriptor)
        if held < size:
            raise OutputChangedError(f"{self.name} holds {held:,} bytes, although its journal says that {size:,} were written")
        try:
            while self.bytes_written < size:
                self._account(os.pread(self._descriptor, min(HASH_BYTES, size - self.bytes_written), self.bytes_written))
        except OSError as error:
            raise UsageError(f"{self.name}: the output cannot be read: {error.strerror or error}") from error
        self._start = 0

    def tail(self) -> Iterator[bytes]:
        """What the file holds behind all that was accounted for, in pieces."""
        at = self.bytes_written
        while piece := os.pread(self._descriptor, HASH_BYTES, at):
            at += len(piece)
            yield piece

    def cut(self) -> None:
        """Cut off what stands behind all that was accounted for. Raises SinkError."""
        try:
            os.ftruncate(self._descriptor, self.bytes_written)
        except OSError as error:
            raise SinkError(self.name, error) from error

    @property
    def digest(self) -> str:
        """SHA-256 over all that was written, in hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append whole lines.

        Raises SinkError when the file takes no more, or is not what it was (see `check`). A regular file is then cut
        back to its last whole line, and `digest` and `bytes_written` tell what it holds.
        """
        self.check()
        done = 0
        view = memoryview(data)
        try:
            while done < len(data):
                done += self._write_some(view[done:])
        except OSError as error:
            self._account(data[: self._cut_back(data, done)])
            raise SinkError(self.name, error) from error
        self._account(data)

    def check(self) -> None:
        """See that nobody has deleted, replaced or changed an output that is to be gone on with.

        Raises SinkError. What was written is not lost with a deleted file: it is put back, or aside if the name is taken.
        """
        if self._path is None:
            return
        try:
            held = os.fstat(self._descriptor)
            there = identity(self._path)
            if there == (held.st_dev, held.st_ino):
                if held.st_size != self.bytes_written:
                    problem = f"somebody else has changed it: it has {held.st_size:,} bytes, and {self.bytes_written:,} were written"
                    raise SinkError(self.name, OSError(errno.ESTALE, problem))
                return
            problem = self._rescue(self._path, is_free=there is None, is_deleted=held.st_nlink == 0)
        except OSError as error:
            raise SinkError(self.name, error) from error
        raise SinkError(self.name, OSError(errno.ESTALE, problem))

    def _rescue(self, path: Path, *, is_free: bool, is_deleted: bool) -> str:
        """Give what was written a name again, if it has none; what happened, for people."""
        what = "it was deleted" if is_free else "another file was put in its place"
        if not is_deleted:
            return f"{what.replace('deleted', 'moved away')} while the run wrote to it; move it back before you run again"
        target = path if is_free else free_name(path)
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE), "wb") as copy:  # noqa: PTH123  the mode is ours
            at = 0
            while at < self.bytes_written:
                piece = os.pread(self._descriptor, min(HASH_BYTES, self.bytes_written - at), at)
                if not piece:
                    break
                copy.write(piece)
                at += len(piece)
        if is_free:
            return f"{what} while the run wrote to it; what was written is there again, so run again"
        return f"{what} while the run wrote to it; what was written is in {target}: put that back before you run again"

    def sync(self) -> None:
        """Wait until the disk has all that was written. Raises SinkError."""
        if self._start is not None:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise SinkError(self.name, error) from error

    def close(self) -> None:
        """Give the file back; stdout stays open. May be called twice. Raises SinkError if the disk refuses at last."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0 or not self._owned:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            raise SinkError(self.name, error) from error

    def _write_some(self, view: memoryview) -> int:
        try:
            return os.write(self._descriptor, view)
        except BlockingIOError:  # a pipe that somebody who shares it has set not to block
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll()
            return 0

    def _cut_back(self, data: bytes, done: int) -> int:
        """Cut a torn line off, if the file can be cut. Returns how much of data is left in it."""
        if self._start is None:
            return done
        whole = data.rfind(b"\n", 0, done) + 1
        try:
            os.ftruncate(self._descriptor, self._start + self.bytes_written + whole)
        except OSError:
            return done
        return whole

    def account(self, data: bytes) -> None:
        """Take bytes that stand in the file already for written."""
        self._account(data)

    def _account(self, data: bytes) -> None:
        self._hash.update(data)
        self.bytes_written += len(data)


def _create(path: Path, *, fresh: bool) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, MODE)
        except FileExistsError:
            if _is_special(path):
                return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            if not fresh:
                raise OutputExistsError(path) from None
        move_aside(path)


def _is_special(path: Path) -> bool:
    """A pipe, a device or a directory: something that is there to be opened, not made."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:  # a link to nowhere
        return False
    return not stat.S_ISREG(mode)


def free_name(path: Path, companions: Sequence[str] = ("",)) -> Path:
    """The first of `PATH.1`, `PATH.2` … that nothing has; companions: endings of names that must be free with it."""
    for number in count(1):
        name = f"{path.name}.{number}"
        if not any(os.path.lexists(path.with_name(name + ending)) for ending in companions):
            return path.with_name(name)
    raise AssertionError("the numbers never end")


def move_aside(path: Path) -> Path | None:
    """Give a file the first free name `PATH.1`, `PATH.2` …; that name, or None where there is no file."""
    if not os.path.lexists(path):  # a link to nowhere is in the way, too
        return None
    while True:
        aside = free_name(path)
        try:
            os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE))  # the name is ours before anything moves on to it
        except FileExistsError:
            continue
        path.replace(aside)
        return aside


@define(eq=False)
class OutputLock:
    """Keeps other runs from an output while it is renamed, and is refused where one writes to it. Close it."""

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


def _lock(name: object, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"{name} is being written by another run; wait until it has ended, or write somewhere else") from None
    except OSError:
        pass  # a file system without locks; the journal's holds


def _size(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None

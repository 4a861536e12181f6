"""Writes the output file: appends whole lines, never overwrites, and leaves no broken line behind if that can be helped.

All writing blocks and belongs in a thread. Nothing is buffered: what `write` took, the operating system has.
"""

from __future__ import annotations

import hashlib
import os
import select
import stat
import sys
from itertools import count
from pathlib import Path

from pipeline.errors import OutputExistsError, RunChangedError, SinkError, UsageError

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
    def resume(cls, path: Path, size: int) -> FileSink:
        """Open an output to append to what it held, `size` bytes: cut back anything behind them. Creates it for a size of 0.

        Raises RunChangedError if it holds less; UsageError if it cannot be opened.
        """
        try:
            if not size:
                path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (0 if size else os.O_CREAT), MODE)
        except FileNotFoundError:
            raise RunChangedError(f"{path} is gone, although its journal says that {size} bytes were written") from None
        except OSError as error:
            raise UsageError(f"{path}: the output cannot be opened: {error.strerror or error}") from error
        sink = cls(str(path), descriptor)
        try:
            sink._go_on(size)
        except BaseException:
            sink.close()
            raise
        return sink

    def _go_on(self, size: int) -> None:
        held = _size(self._descriptor)
        if held is None:
            return
        if held < size:
            raise RunChangedError(f"{self.name} holds {held} bytes, although its journal says that {size} were written")
        try:
            os.ftruncate(self._descriptor, size)
            with open(self._descriptor, "rb", closefd=False) as file:  # it is open already
                file.seek(0)
                for chunk in iter(lambda: file.read(HASH_BYTES), b""):
                    self._hash.update(chunk)
        except OSError as error:
            raise UsageError(f"{self.name}: the output cannot be read: {error.strerror or error}") from error
        self.bytes_written = size
        self._start = 0

    @property
    def digest(self) -> str:
        """SHA-256 over all that was written, in hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append whole lines.

        Raises SinkError when the file takes no more. A regular file is then cut back to its last whole line, and
        `digest` and `bytes_written` tell what it holds.
        """
        done = 0
        view = memoryview(data)
        try:
            while done < len(data):
                done += self._write_some(view[done:])
        except OSError as error:
            self._account(data[: self._cut_back(data, done)])
            raise SinkError(self.name, error) from error
        self._account(data)

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


def move_aside(path: Path) -> Path | None:
    """Give a file the first free name `PATH.1`, `PATH.2` …; that name, or None where there is no file."""
    if not (path.exists() or path.is_symlink()):  # a link to nowhere is in the way, too
        return None
    for number in count(1):
        aside = path.with_name(f"{path.name}.{number}")
        try:
            os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE))  # the name is ours before anything moves on to it
        except FileExistsError:
            continue
        path.replace(aside)
        return aside
    raise AssertionError("the numbers never end")


def _size(descriptor: int) -> int | None:
    status = os.fstat(descriptor)
    return status.st_size if stat.S_ISREG(status.st_mode) else None

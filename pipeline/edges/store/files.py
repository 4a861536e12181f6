"""What all files of a run need from the file system: room that is reserved, one name for one file, and a lost name given back."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODE = 0o600  # answers may be confidential
COPY_BYTES = 1 << 20


class BusyError(UsageError):
    """Another process has the lock. One that was killed just now may have it for some milliseconds yet."""


def allocate(descriptor: int, offset: int, length: int) -> None:
    """Reserve room on the disk for a piece of a file, holes included: a write to a map of a full disk would kill us.

    Raises OSError.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, offset, length)
        return
    size = os.fstat(descriptor).st_size  # macOS: fill up from the end
    if size < offset + length:
        os.pwrite(descriptor, bytes(offset + length - size), size)


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file that has this name; None if there is none. Raises OSError."""
    try:
        status = os.stat(path)  # noqa: PTH116  half the time of Path's, once a group
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def opened_to_read(path: Path) -> Iterator[int]:
    """The descriptor of a file, or -1 if there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield -1
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def put_back(descriptor: int, target: Path, length: int | None = None) -> None:
    """Copy an open file whose name was deleted to a new name, which must be free. length: how much of it; None is all.

    Raises OSError.
    """
    at, end = 0, os.fstat(descriptor).st_size if length is None else length
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE), "wb") as copy:  # noqa: PTH123  the mode is ours
        while at < end and (piece := os.pread(descriptor, min(COPY_BYTES, end - at), at)):
            copy.write(piece)
            at += len(piece)


def free_name(path: Path, companions: Sequence[str] = ("",)) -> Path:
    """The first of `PATH.1`, `PATH.2` … that nothing has; companions: endings of names that must be free with it."""
    for number in count(1):
        name = f"{path.name}.{number}"
        if not any(os.path.lexists(path.with_name(name + ending)) for ending in companions):
            return path.with_name(name)
    raise AssertionError("the numbers never end")


def real(path: str) -> Path:
    """The file that a name means, behind all links, so that no two names are taken for two files. A device keeps its name."""
    given = Path(path)
    return given if given.exists() and not given.is_file() else Path(os.path.realpath(path))

"""The data folder of a server: where files and the work on batches lie, and how it is put in order at the start.

    headrace.db        the catalog; what it does not know of does not exist
    lock               held by the process that serves this folder
    files/ID           the content of a file
    incoming/          uploads and results that are not complete yet
    batches/ID/        the input of a batch that has not ended (a link, so that its file may be deleted), and its run

A name on the disk is always one of our own ids: nothing that a client says becomes a path. Content is complete, on the disk and
under its name before the catalog says that it exists, and the catalog forgets it before it is removed. So whenever the process
dies, at most files without an entry are left over, and `tidy` removes them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.edges.store.catalog import Catalog
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})
FOLDER_MODE = 0o700  # prompts and answers may be confidential
NAME = re.compile(r"(?:file-|batch_)[0-9a-f]{24}")


def new_id(prefix: str) -> str:
    """An id that no other has and nobody can guess."""
    return prefix + secrets.token_hex(12)


@define(eq=False)
class DataFolder:
    """An open data folder; no other process has it. Close it."""

    root: Path
    catalog: Catalog
    _lock: int = field(repr=False)

    @classmethod
    def open(cls, root: Path) -> DataFolder:
        """Make the folder if need be, lock it, and put it in order. Blocks. Raises UsageError, JournalError."""
        try:
            for place in (root, root / "files", root / "incoming", root / "batches"):
                place.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            lock = _locked(root / "lock")
        except OSError as error:
            raise UsageError(f"{root}: the data folder cannot be used: {error.strerror or error}") from error
        try:
            folder = cls(root, Catalog(root / "headrace.db"), lock)
        except BaseException:
            os.close(lock)
            raise
        folder.tidy()
        return folder

    def file(self, name: str) -> Path:
        """Where the content of a file is. Raises ValueError for what is no id of ours."""
        return self.root / "files" / _checked(name)

    def batch(self, name: str) -> Path:
        """Where the work on a batch is."""
        return self.root / "batches" / _checked(name)

    def incoming(self) -> Path:
        """A new name for content that is not complete yet."""
        return self.root / "incoming" / secrets.token_hex(12)

    def take_in(self, incoming: Path, name: str) -> None:
        """Give complete content its name; it is on the disk when this returns. Blocks. Raises OSError."""
        sync(incoming)
        incoming.rename(self.file(name))
        sync(self.root / "files")

    def begin_batch(self, name: str, file_name: str) -> None:
        """Keep a batch's input, whatever becomes of the file. Blocks. Raises OSError."""
        place = self.batch(name)
        place.mkdir(mode=FOLDER_MODE, exist_ok=True)
        _link(self.file(file_name), place / "input.jsonl")
        sync(place)
        sync(place.parent)

    def end_batch(self, name: str) -> None:
        """Forget the work on a batch that has ended. Blocks."""
        shutil.rmtree(self.batch(name), ignore_errors=True)

    def remove_file(self, name: str) -> None:
        """Remove the content of a file that the catalog does not know any more. Blocks."""
        self.file(name).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """What the disk has left."""
        return shutil.disk_usage(self.root).free

    def tidy(self) -> None:
        """Remove what a process that died has left: content without an entry, and work on batches that have ended."""
        shutil.rmtree(self.root / "incoming", ignore_errors=True)
        (self.root / "incoming").mkdir(exist_ok=True, mode=FOLDER_MODE)
        known = self.catalog.file_names()
        there = {path.name for path in (self.root / "files").iterdir()}
        for name in there - known:
            (self.root / "files" / name).unlink()
        for name in known - there:
            self.catalog.drop_file(name)
        unfinished = {batch.id for batch in self.catalog.unfinished()}
        for path in (self.root / "batches").iterdir():
            if path.name not in unfinished:
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Give the folder back. May be called twice."""
        if self._lock >= 0:
            self.catalog.close()
            os.close(self._lock)
            self._lock = -1


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system knows no such thing. Raises OSError."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)
        sync(target)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checked(name: str) -> str:
    if NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no id of ours")
    return name


def _locked(path: Path) -> int:
    """Lock a file for the life of this process, and write its id into it. Raises UsageError where another has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise UsageError(f"{path.parent} is served by another process (pid {holder}); stop that one, or name another --data") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor

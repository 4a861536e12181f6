"""Says what is wrong with a journal: damage that --accept-changes repairs, or a temporary problem."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.edges.store.files import opened_to_read
from pipeline.errors import JournalDamagedError, JournalError

if TYPE_CHECKING:
    from pathlib import Path

# What sqlite3 and the reading of its rows raise where a journal is not what was written
READ_ERRORS = (sqlite3.Error, OSError, ValueError, TypeError, KeyError)
DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: a table or column is missing
NO_TABLE = "no such table: "  # begins SQLite's words for one
EMPTY = (
    "is empty: the run has just begun, or it ended before it sent anything, or somebody has emptied the file; "
    "`headrace run` with the same config goes on, or says what is missing"
)
READ_BYTES = 1 << 20  # at once
FULL_BYTES = 64 << 10  # a disk with less room than SQLite's index of its log takes


class ForeignError(sqlite3.DatabaseError):
    """A sound database that is not ours, or not ours to read."""


class UnmadeError(ForeignError):
    """A database in which nothing was made yet."""


def refuse_other_kinds(path: Path) -> None:
    """Raise JournalError for a folder, a pipe or a device in the place of a journal. Opening one may never end."""
    if path.exists() and not path.is_file():
        raise JournalError(path, "is no file; move away what is there, or name another one (journal.path)")


def trouble(path: Path, error: Exception, what: str = "cannot be read") -> JournalError:
    """The error to raise for one of READ_ERRORS."""
    if isinstance(error, UnmadeError):
        return JournalError(path, EMPTY)
    if not _is_damage(error):
        return JournalError(path, f"{what}: {_said(path, error)}")
    if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_CORRUPT and (failed := _disk_failure(path)):
        return JournalError(path, f"{what}: {failed}")
    return JournalDamagedError(path, f"{what}: {_said(path, error)}")


def _is_damage(error: Exception) -> bool:
    """Whether a journal that cannot be read will never be read, and is ours."""
    if isinstance(error, ForeignError):
        return False
    if isinstance(error, sqlite3.Error):
        return _code(error) in DAMAGE_CODES
    return not isinstance(error, OSError)


def _disk_failure(path: Path) -> str:
    """What the disk reports where SQLite takes a failed read for a malformed file; "" if the file is malformed."""
    try:
        has_log = [_read_through(path.with_name(path.name + part)) for part in ("", "-wal")][1] > 0
        options = "mode=ro" if has_log else "mode=ro&immutable=1"  # without a log SQLite would make one
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True)) as database:
            is_sound = database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
            for columns in ("key, value FROM meta", "place, line, checksum FROM outcomes", "first, end FROM done"):
                database.execute(f"SELECT {columns}").fetchone()
    except OSError as error:
        return error.strerror or str(error)
    except sqlite3.Error as error:
        return str(error) if _code(error) == sqlite3.SQLITE_IOERR else ""
    return "the disk failed for a moment; run again" if is_sound else ""


def _read_through(path: Path) -> int:
    """Read a whole file; its length, 0 if there is none. Raises OSError."""
    at = 0
    with opened_to_read(path) as descriptor:
        while descriptor >= 0 and (piece := os.pread(descriptor, READ_BYTES, at)):
            at += len(piece)
    return at


def _code(error: sqlite3.Error) -> int:
    """SQLite's code without its details; an error that has none is about text that is not UTF-8, or of an overlong value."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF


def _said(path: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, sqlite3.Error):
        if _code(error) == sqlite3.SQLITE_IOERR and _is_full(path):
            return "the disk is full"  # SQLite says "disk I/O error" when it finds no room for the index of its log
        said = str(error)
        return f"its table `{said.removeprefix(NO_TABLE)}` is missing" if said.startswith(NO_TABLE) else said
    return f"it lacks its {error}" if isinstance(error, KeyError) else str(error)


def _is_full(path: Path) -> bool:
    try:
        free = os.statvfs(path.parent)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < FULL_BYTES

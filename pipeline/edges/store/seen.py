"""What a run has seen of its input, in temporary tables on disk, so that ten million rows cost no memory.

SQLite makes the file where temporary files go, without a name, and it is gone when the run is, however that ends.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from pipeline.errors import CacheError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE_KIB = 8192  # 300,000 ids; the pages of more are the file system's to cache, at some 2 µs more an id


class SeenOnDisk:
    """A `DigestStore` on disk. Opens its file when the first digest comes; may be used from one thread at a time."""

    def __init__(self) -> None:
        self._database: sqlite3.Connection | None = None

    def add(self, entries: Sequence[tuple[int, int]]) -> list[int]:
        """Keep (digest, number) pairs; the number that is kept for each. Raises InputError if the disk refuses."""
        try:
            return self._add(entries)
        except sqlite3.Error as error:
            raise InputError(f"cannot remember the ids of the input on disk: {error} (SQLITE_TMPDIR names another place)") from error

    def close(self) -> None:
        """Forget everything."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _add(self, entries: Sequence[tuple[int, int]]) -> list[int]:
        if self._database is None:
            self._database = _open("digest INTEGER PRIMARY KEY, number INTEGER NOT NULL")
        before = self._database.total_changes
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", entries)
        if self._database.total_changes - before == len(entries):
            return [number for _, number in entries]
        ask = "SELECT number FROM seen WHERE digest = ?"
        return [self._database.execute(ask, (digest,)).fetchone()[0] for digest, _ in entries]


class OccurrencesOnDisk:
    """Counts how often each digest came. May be used from one thread at a time."""

    def __init__(self) -> None:
        self._database = _open("digest BLOB PRIMARY KEY, times INTEGER NOT NULL")

    def count(self, digests: Sequence[bytes]) -> list[int]:
        """How often each has come, this time included. Raises CacheError."""
        ask = "INSERT INTO seen VALUES (?, 1) ON CONFLICT (digest) DO UPDATE SET times = times + 1 RETURNING times"
        try:
            return [self._database.execute(ask, (digest,)).fetchone()[0] for digest in digests]
        except sqlite3.Error as error:
            raise CacheError(None, str(error)) from error

    def close(self) -> None:
        """Forget everything."""
        self._database.close()


def _open(columns: str) -> sqlite3.Connection:
    """A temporary database with one table, `seen`."""
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for setting in (f"cache_size = -{CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {setting}")
    database.execute("BEGIN")  # never committed: nothing here is to outlive the run
    database.execute(f"CREATE TABLE seen ({columns})")
    return database

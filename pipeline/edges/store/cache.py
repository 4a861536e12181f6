"""Answers kept by the request that they answer, in an SQLite file that several runs may use at once.

An ordinary table with a blob as its primary key: WITHOUT ROWID took 65 µs instead of 14 to put an answer of 1.5 kB in, and
three times the space.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from pipeline.edges.store.transactions import transaction
from pipeline.errors import CacheError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BUSY_SECONDS = 30.0  # another run may be in the middle of a commit
FORMAT = 1  # of the table and of what is in it


class AnswerCache:
    """The file. Owns its connection; close it. Blocks; may be used from one thread at a time."""

    def __init__(self, path: Path | None, *, max_age_seconds: float | None = None) -> None:
        """Open the file, or make it, readable by its owner only. path: None is a temporary file without a name. Raises CacheError."""
        self._path = path
        self._max_age = max_age_seconds
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(path or "", BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error) from error

    def get(self, keys: Sequence[bytes], now_utc: float) -> list[bytes | None]:
        """The answer of each key, None where there is none or it is too old. Raises CacheError."""
        oldest = -1.0 if self._max_age is None else now_utc - self._max_age
        ask = "SELECT answer FROM answers WHERE key = ? AND kept_at >= ?"
        try:
            rows = [self._database.execute(ask, (key, oldest)).fetchone() for key in keys]
        except sqlite3.Error as error:
            raise self._trouble(error) from error
        return [None if row is None else row[0] for row in rows]

    def put(self, answers: Sequence[tuple[bytes, bytes]], now_utc: float) -> None:
        """Keep answers by their keys, all or none. An answer that is there is replaced. Raises CacheError."""
        try:
            with transaction(self._database) as database:
                database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", ((key, now_utc, answer) for key, answer in answers))
        except sqlite3.Error as error:
            raise self._trouble(error) from error

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def _prepare(self) -> None:
        for setting in ("journal_mode = WAL", "synchronous = NORMAL"):
            self._database.execute(f"PRAGMA {setting}")
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version != FORMAT and (version or tables):
            raise sqlite3.DatabaseError("it is another program's file, or another version's")
        if not version:
            self._database.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, kept_at REAL NOT NULL, answer BLOB NOT NULL)")
            self._database.execute(f"PRAGMA user_version = {FORMAT}")

    def _trouble(self, error: Exception) -> CacheError:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return CacheError(self._path, said)

"""The files and batches of a server, in one SQLite file. What a call has returned survives the death of the machine.

Lists go by the number of insertion and never by a time: times are whole seconds, and a page that ends within a second would lose
rows. A file that was deleted keeps its row, so that a list can go on behind it. All calls block; they may come from several threads.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.batches.records import Batch, StoredFile
from pipeline.edges.store.files import MODE
from pipeline.edges.store.transactions import transaction
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pipeline.core.batches.asked import Paging

BUSY_SECONDS = 30.0  # a backup or a shell may hold it for a while
APPLICATION_ID = 0x68647273  # "hdrs"
VERSION = 1
REPEAT_SECONDS = 600.0  # within which a marked repeat is taken for the same request
SETTINGS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
SCHEMA = (
    """CREATE TABLE files (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL,
        expires_at INTEGER, gone INTEGER NOT NULL DEFAULT 0, record BLOB NOT NULL)""",
    """CREATE TABLE batches (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, ended INTEGER NOT NULL,
        asked_at REAL NOT NULL, digest BLOB NOT NULL, key TEXT, record BLOB NOT NULL)""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE INDEX open_batches ON batches (number) WHERE ended = 0",
    "CREATE INDEX batches_by_key ON batches (key) WHERE key IS NOT NULL",
    "CREATE INDEX batches_by_digest ON batches (digest)",
    "CREATE INDEX files_by_end ON files (expires_at) WHERE gone = 0 AND expires_at IS NOT NULL",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)

_encode = msgspec.json.Encoder().encode
_read_file = msgspec.json.Decoder(StoredFile).decode
_read_batch = msgspec.json.Decoder(Batch).decode


class UnknownCursorError(LookupError):
    """A list is to go on behind something that was never there."""


class OtherRequestError(Exception):
    """The same idempotency key came with another request."""


class Catalog:
    """The open file. Owns its connections; close it."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it. Raises JournalError."""
        self._path = path
        self._writing, self._reading = Lock(), Lock()
        try:
            path.touch(mode=MODE)
            self._writer = self._connect()
            try:
                self._prepare()
                self._reader = self._connect()
            except BaseException:
                self._writer.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise JournalError(path, f"cannot be opened: {error}") from error

    # ---- files ---------------------------------------------------------------------------------------------------

    def add_file(self, file: StoredFile) -> None:
        """Note a file whose content is on the disk."""
        with self._transaction() as database:
            _put_file(database, file)

    def file(self, name: str, now: float) -> StoredFile | None:
        """A file that is there."""
        rows = self._read("SELECT record FROM files WHERE id = ? AND gone = 0 AND (expires_at IS NULL OR expires_at > ?)", (name, now))
        return _read_file(rows[0][0]) if rows else None

    def files(self, paging: Paging, purpose: str | None, now: float) -> tuple[list[StoredFile], bool]:
        """A page of those that are there, and whether there are more. Raises UnknownCursorError."""
        where = "gone = 0 AND (expires_at IS NULL OR expires_at > ?) AND (? IS NULL OR purpose = ?)"
        rows = self._page("files", where, (now, purpose, purpose), paging)
        return [_read_file(row[0]) for row in rows[: paging.limit]], len(rows) > paging.limit

    def drop_file(self, name: str) -> bool:
        """Note that a file is gone; False if it was not there."""
        with self._transaction() as database:
            return database.execute("UPDATE files SET gone = 1 WHERE id = ? AND gone = 0", (name,)).rowcount > 0

    def outlived(self, now: float) -> list[str]:
        """Ids of the files whose time is over and which are not gone."""
        return [name for (name,) in self._read("SELECT id FROM files WHERE gone = 0 AND expires_at <= ?", (now,))]

    def file_names(self) -> set[str]:
        """The ids of all files that are there."""
        return {name for (name,) in self._read("SELECT id FROM files WHERE gone = 0", ())}

    # ---- batches -------------------------------------------------------------------------------------------------

    def add_batch(self, batch: Batch, digest: bytes, key: str | None, now: float, *, marked: bool) -> tuple[Batch, bool]:
        """Note a new batch, and that it is new; or give the one that an earlier send of the same request has made.

        digest: of the request. key: that the client has given it. marked: the client says that it sends it again.
        Raises OtherRequestError.
        """
        with self._transaction() as database:
            before = None
            if key is not None:
                before = database.execute("SELECT digest, record FROM batches WHERE key = ? ORDER BY number DESC", (key,)).fetchone()
            elif marked:
                query = "SELECT digest, record FROM batches WHERE digest = ? AND asked_at > ? ORDER BY number DESC"
                before = database.execute(query, (digest, now - REPEAT_SECONDS)).fetchone()
            if before is not None:
                if before[0] != digest:
                    raise OtherRequestError
                return _read_batch(before[1]), False
            query = "INSERT INTO batches (id, ended, asked_at, digest, key, record) VALUES (?, 0, ?, ?, ?, ?)"
            database.execute(query, (batch.id, now, digest, key, _encode(batch)))
            return batch, True

    def batch(self, name: str) -> Batch | None:
        """A batch by its id."""
        rows = self._read("SELECT record FROM batches WHERE id = ?", (name,))
        return _read_batch(rows[0][0]) if rows else None

    def batches(self, paging: Paging) -> tuple[list[Batch], bool]:
        """A page of all batches, and whether there are more. Raises UnknownCursorError."""
        rows = self._page("batches", "1", (), paging)
        return [_read_batch(row[0]) for row in rows[: paging.limit]], len(rows) > paging.limit

    def unfinished(self) -> list[Batch]:
        """The batches that have not ended, the oldest first."""
        return [_read_batch(record) for (record,) in self._read("SELECT record FROM batches WHERE ended = 0 ORDER BY number", ())]

    def change(self, name: str, how: Callable[[Batch], Batch | None], files: Sequence[StoredFile] = ()) -> Batch | None:
        """Move a batch on, and note new files, all or nothing. Gives the batch as it is then; None if it is not there.

        how: gives the new record, or None to leave everything as it is.
        """
        with self._transaction() as database:
            row = database.execute("SELECT record FROM batches WHERE id = ?", (name,)).fetchone()
            if row is None:
                return None
            was = _read_batch(row[0])
            new = how(was)
            if new is None:
                return was
            for file in files:
                _put_file(database, file)
            database.execute("UPDATE batches SET ended = ?, record = ? WHERE id = ?", (new.status.is_final, _encode(new), name))
            return new

    # ---- what else must be remembered ----------------------------------------------------------------------------

    def remember(self, key: str, value: bytes) -> None:
        """Keep a value."""
        with self._transaction() as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def recall(self, key: str) -> bytes | None:
        """A value that was kept."""
        rows = self._read("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def close(self) -> None:
        """Give the file back."""
        self._reader.close()
        self._writer.close()

    # ---- SQLite --------------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            for setting in SETTINGS:
                database.execute(setting)
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self) -> None:
        database = self._writer
        (owner,), (version,) = database.execute("PRAGMA application_id").fetchone(), database.execute("PRAGMA user_version").fetchone()
        if (owner, version) == (APPLICATION_ID, VERSION):
            return
        if owner or version or database.execute("SELECT 1 FROM sqlite_master").fetchone():
            raise JournalError(self._path, "is not one of this version of headrace serve; name another data folder")
        database.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            database.execute(statement)
        database.execute("COMMIT")

    def _read(self, query: str, values: Sequence[object]) -> list[tuple[Any]]:
        with self._reading:
            try:
                return self._reader.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise JournalError(self._path, f"cannot be read: {error}") from error

    def _page(self, table: str, where: str, values: Sequence[object], paging: Paging) -> list[tuple[Any]]:
        sign, order, edge = ("<", "DESC", 1 << 62) if paging.newest_first else (">", "ASC", 0)
        if paging.after is not None:
            found = self._read(f"SELECT number FROM {table} WHERE id = ?", (paging.after,))  # noqa: S608  a name of ours
            if not found:
                raise UnknownCursorError(paging.after)
            edge = found[0][0]
        query = f"SELECT record FROM {table} WHERE number {sign} ? AND {where} ORDER BY number {order} LIMIT ?"  # noqa: S608  names of ours
        return self._read(query, (edge, *values, paging.limit + 1))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            try:
                with transaction(self._writer) as database:
                    yield database
            except sqlite3.Error as error:
                raise JournalError(self._path, f"cannot be written: {error}") from error


def _put_file(database: sqlite3.Connection, file: StoredFile) -> None:
    query = "INSERT INTO files (id, purpose, expires_at, record) VALUES (?, ?, ?, ?)"
    database.execute(query, (file.id, file.purpose, file.expires_at, _encode(file)))

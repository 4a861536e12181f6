"""The journal of a run: one SQLite file beside the output, that holds outcomes until the output does.

What a commit has taken survives the death of the process (`Durability` power: also that of the machine). All calls block
and belong in a thread; one thread at a time, but `read` may run beside a commit.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from secrets import token_hex
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec
from attrs import define, field, frozen

from pipeline.core.bookkeeping.fingerprint import Prefix
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.errors import JournalDamagedError, JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA_VERSION = 2
APPLICATION_ID = 0x68647263  # "hdrc": tells our files from other people's databases
CHECKSUM_MASK = 0xFFFFFFFF  # a line's checksum begins with its place, so that a line in another's place is no better than a spoilt one
DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: a table or column is missing
FREE_PAGES = 1024  # 16 MB
FULL_BYTES = 64 << 10  # a disk with less room than SQLite's index of its log takes
BUSY_SECONDS = 30.0  # somebody else may hold it for a while (a backup, a shell)
SETTINGS = (
    "PRAGMA page_size = 16384",  # for 1.5 kB lines a third less CPU than 4096
    "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 500",  # pages: the log stays around 8 MB
    "PRAGMA cache_size = -2048",  # KiB: rows are appended and deleted in order, so a larger cache holds nothing useful
    "PRAGMA temp_store = MEMORY",
)
SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE outcomes (place INTEGER PRIMARY KEY, line BLOB NOT NULL, checksum INTEGER NOT NULL)",
)


@frozen
class State:
    """How far a run has come, as of one commit.

    written: lines in the output; bytes, digest: its length and SHA-256 then. The outcomes counted here whose place is
    `written` or later are in the journal. recorded: all outcomes there are. prefix, row_sum: what the rows that have an outcome are
    recognised by. done: runs of them, where the output is in the order of completion; else the places tell. unknown:
    attempts that left and of which nothing more is known. rows: of the input, None while its end was not seen. aside:
    what the output is to be renamed to before anything else (see `rebuild`). committed_at: seconds since the epoch.
    """

    written: int = 0
    bytes: int = 0
    succeeded: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    row_sum: int = 0
    unknown: int = 0
    done: tuple[tuple[int, int], ...] = ()
    digest: str = ""
    prefix: Prefix = field(factory=Prefix)
    rows: int | None = None
    aside: str = ""
    committed_at: float = 0.0

    @property
    def recorded(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed


PUT_LINES = "INSERT INTO outcomes VALUES (?, ?, ?)"
PUT_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
PUT_STATE = "INSERT OR REPLACE INTO meta VALUES ('state', ?)"

_encode_state = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode


@define(eq=False)
class Journal:
    """An open journal.

    path: the file. name: 32 hex digits that no other journal has. state: as of the last commit. identity: what the run was
    told, by key.
    """

    path: Path
    name: str
    state: State
    identity: Mapping[str, str]
    _database: sqlite3.Connection
    _reader: sqlite3.Connection
    _deleted: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._deleted = self.state.written

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, str], *, power: bool = False) -> Journal:
        """Open a journal, or begin one for a run of that identity. power: wait for the disk at every commit.

        Raises JournalError if it cannot be read, or was written by another version.
        """
        what = "cannot be read" if path.exists() and path.stat().st_size else "cannot be created"
        try:
            path.touch(mode=0o600)
            database = _connect(path)
            try:
                _refuse_foreign(database)
                for setting in SETTINGS:
                    database.execute(setting)
                # NORMAL waits for the disk at a checkpoint only: a dead process loses nothing, dead power the last moments
                database.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
                _create(database, identity)
                name, state, meta = _load(database)
                reader = _connect(path)
            except BaseException:
                database.close()
                raise
        except (sqlite3.Error, msgspec.DecodeError, KeyError, OSError) as error:
            raise _trouble(path, error, what) from error
        return cls(path, name, state, meta, database, reader)

    def places(self, first: int) -> Intervals:
        """The places from `first` on of which it holds an outcome. Raises JournalError."""
        runs = Intervals()
        try:
            for (place,) in self._reader.execute("SELECT place FROM outcomes WHERE place >= ? ORDER BY place", (first,)):
                runs.add(place, place + 1)
        except sqlite3.Error as error:
            raise _trouble(self.path, error) from error
        return runs

    def lines(self, first: int) -> Iterator[tuple[int, bytes]]:
        """Place and line of every outcome that it holds from `first` on, in order. Raises JournalError."""
        query = "SELECT * FROM outcomes WHERE place >= ? ORDER BY place"
        try:
            for place, line, checksum in self._reader.execute(query, (first,)):
                yield place, self._sound(place, line, checksum)
        except sqlite3.Error as error:
            raise _trouble(self.path, error) from error

    def commit(self, lines: Iterable[tuple[int, bytes]], state: State) -> None:
        """Take outcomes (place, line) and a new state, all or nothing; forget what the state says is written.

        Raises JournalError when the disk is full or fails.
        """
        with self._transaction() as database:
            database.executemany(PUT_LINES, _checked(lines))
            if state.written > self._deleted:
                database.execute("DELETE FROM outcomes WHERE place < ?", (state.written,))
            database.execute(PUT_STATE, (_encode_state(state).decode(),))
        self.state = state
        self._deleted = state.written

    def replace(self, lines: Iterable[tuple[int, bytes]], state: Callable[[], State]) -> None:
        """Take these outcomes instead of all that it holds, and then the new state, all or nothing. Raises JournalError."""
        with self._transaction() as database:
            database.execute("DELETE FROM outcomes")
            database.executemany(PUT_LINES, _checked(lines))
            new = state()
            database.execute(PUT_STATE, (_encode_state(new).decode(),))
        self.state = new
        self._deleted = new.written

    def accept(self, identity: Mapping[str, str]) -> None:
        """Take another identity from now on. Raises JournalError."""
        with self._transaction() as database:
            database.executemany(PUT_META, list(identity.items()))
        self.identity = identity

    def shrink(self) -> None:
        """Give back what outcomes took that are gone, if it is much and the disk lets us."""
        with suppress(sqlite3.Error):
            (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
            if free > FREE_PAGES:
                self._database.execute("VACUUM")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _trouble(self.path, error, "cannot be written") from error

    def read(self, first: int, count: int) -> list[bytes]:
        """The lines at the places `[first, first + count)`. Raises JournalError if one is missing or damaged."""
        try:
            query = "SELECT * FROM outcomes WHERE place >= ? AND place < ? ORDER BY place"
            lines = [self._sound(*row) for row in self._reader.execute(query, (first, first + count))]
        except sqlite3.Error as error:
            raise _trouble(self.path, error) from error
        if len(lines) != count:
            raise JournalDamagedError(self.path, f"has lost {count - len(lines)} of the outcomes {first} to {first + count - 1}")
        return lines

    def _sound(self, place: int, line: object, checksum: int) -> bytes:
        """The line, if it is what was written at its place: SQLite itself does not see a spoilt byte."""
        if not isinstance(line, bytes) or _checksum(place, line) != checksum:
            raise JournalDamagedError(self.path, f"is damaged: the outcome {place} is not what was written")
        return line

    def close(self) -> None:
        """Give the file back. What a closing checkpoint cannot put into it stays in its log."""
        for connection in (self._reader, self._database):
            connection.close()


def salvage(path: Path) -> Iterator[tuple[int, bytes]]:
    """Place and line of every outcome that is still whole in a damaged journal."""
    try:
        with closing(_connect(path)) as database:
            for place, line, checksum in database.execute("SELECT * FROM outcomes ORDER BY place"):
                if isinstance(place, int) and isinstance(line, bytes) and _checksum(place, line) == checksum:
                    yield place, line
    except sqlite3.Error:
        return


def peek(path: Path) -> tuple[State, dict[str, str], int]:
    """The state, the identity and the number of outcomes held, of a journal that a run may be writing just now; changes nothing.

    Raises JournalError if it cannot be read.
    """
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as database:
            _refuse_foreign(database)
            database.execute("BEGIN")
            _, state, meta = _load(database)
            (held,) = database.execute("SELECT count(*) FROM outcomes WHERE place >= ?", (state.written,)).fetchone()
    except (sqlite3.Error, msgspec.DecodeError, KeyError, OSError) as error:
        raise JournalError(path, f"cannot be read: {_said(error)}") from error
    return state, meta, held


def _checked(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, int]]:
    return ((place, line, _checksum(place, line)) for place, line in lines)


def _checksum(place: int, line: bytes) -> int:
    return crc32(line, place & CHECKSUM_MASK)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _load(database: sqlite3.Connection) -> tuple[str, State, dict[str, str]]:
    meta = dict(database.execute("SELECT key, value FROM meta"))
    return meta.pop("name", ""), _decode_state(meta.pop("state")), meta


def _refuse_foreign(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (owner or version or tables):
        raise _ForeignError("it is another program's database; --fresh moves it aside and starts over")
    if version > SCHEMA_VERSION:
        raise _ForeignError(f"it has version {version}, and this headrace knows version {SCHEMA_VERSION}; go on with the one that wrote it")


def _create(database: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    """Make the tables, or bring those of an earlier version up to date. All or nothing."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    with closing(database.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        if version == 0:
            for statement in SCHEMA:
                cursor.execute(statement)
            cursor.executemany(PUT_META, [*identity.items(), ("state", _encode_state(State()).decode())])
        cursor.execute(PUT_META, ("name", token_hex(16)))  # since version 2
        cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        cursor.execute("COMMIT")


class _ForeignError(sqlite3.DatabaseError):
    """A sound database that is none of ours."""


def _trouble(path: Path, error: Exception, what: str = "cannot be read") -> JournalError:
    said = _said(error)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR and _is_full(path):
        said = "the disk is full"  # SQLite says "disk I/O error" when it finds no room for its index of the log
    return (JournalDamagedError if _is_damage(error) else JournalError)(path, f"{what}: {said}")


def _is_full(path: Path) -> bool:
    try:
        free = os.statvfs(path.parent)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < FULL_BYTES


def _is_damage(error: Exception) -> bool:
    """Whether a journal that cannot be read will never be read, and is ours."""
    if isinstance(error, sqlite3.Error):
        return not isinstance(error, _ForeignError) and getattr(error, "sqlite_errorcode", None) in DAMAGE_CODES
    return not isinstance(error, OSError)


def _said(error: Exception) -> str:
    """What went wrong, for people."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"it lacks its {error}" if isinstance(error, KeyError) else str(error)

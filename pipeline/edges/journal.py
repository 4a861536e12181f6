"""The journal of a run: one SQLite file beside the output, that holds every outcome until the output does.

What a commit has taken survives the death of the process (`Durability` power: also that of the machine). All calls block
and belong in a thread; one thread at a time, but `read` may run beside a commit.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
from attrs import define, field, frozen

from pipeline.core.intervals import Intervals
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SCHEMA_VERSION = 1
BUSY_SECONDS = 5.0  # somebody else may look into it (`headrace status`, a backup)
SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 2000",  # pages of 4 kB: the log stays around 8 MB
    "PRAGMA cache_size = -2048",  # KiB: rows are appended and deleted in order, so a larger cache holds nothing useful
    "PRAGMA temp_store = MEMORY",
)
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE outcomes (place INTEGER PRIMARY KEY, line BLOB NOT NULL);
"""


@frozen
class State:
    """How far a run has come, as of one commit.

    written: lines in the output, and bytes its length; all outcomes whose place is `written` or later are in the
    journal. recorded: all outcomes there are. row_sum: see `RowSum`. done: runs of rows that have an outcome, where the
    output is in the order of completion; where it is in input order the places tell.
    unknown: attempts of earlier processes that left and of which nothing more is known.
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

    @property
    def recorded(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed


_encode_state = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode


@define(eq=False)
class Journal:
    """An open journal. path: the file. state: as of the last commit. identity: what the run was told, by key."""

    path: Path
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
        try:
            path.touch(mode=0o600)
            database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                for setting in SETTINGS:
                    database.execute(setting)
                # NORMAL waits for the disk at a checkpoint only: a dead process loses nothing, dead power the last moments
                database.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
                _create(database, identity)
                meta = dict(database.execute("SELECT key, value FROM meta"))
                state = _decode_state(meta.pop("state"))
            except BaseException:
                database.close()
                raise
            reader = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, msgspec.DecodeError, KeyError, OSError) as error:
            raise JournalError(path, f"cannot be read: {error}") from error
        return cls(path, state, meta, database, reader)

    def places(self) -> Intervals:
        """The places of all outcomes that it holds and that are not yet written."""
        runs = Intervals()
        try:
            for (place,) in self._reader.execute("SELECT place FROM outcomes WHERE place >= ? ORDER BY place", (self.state.written,)):
                runs.add(place, place + 1)
        except sqlite3.Error as error:
            raise JournalError(self.path, f"cannot be read: {error}") from error
        return runs

    def commit(self, lines: Iterable[tuple[int, bytes]], state: State) -> None:
        """Take outcomes (place, line) and a new state, all or nothing; forget what the state says is written.

        Raises JournalError when the disk takes no more.
        """
        database = self._database
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                database.executemany("INSERT INTO outcomes VALUES (?, ?)", lines)
                if state.written > self._deleted:
                    database.execute("DELETE FROM outcomes WHERE place < ?", (state.written,))
                database.execute("UPDATE meta SET value = ? WHERE key = 'state'", (_encode_state(state).decode(),))
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise JournalError(self.path, f"takes no more: {error}") from error
        self.state = state
        self._deleted = state.written

    def accept(self, identity: Mapping[str, str]) -> None:
        """Take another identity from now on."""
        try:
            self._database.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in identity.items()])
        except sqlite3.Error as error:
            raise JournalError(self.path, f"takes no more: {error}") from error
        self.identity = identity

    def read(self, first: int, count: int) -> list[bytes]:
        """The lines at the places `[first, first + count)`. Raises JournalError if one is missing."""
        try:
            query = "SELECT line FROM outcomes WHERE place >= ? AND place < ? ORDER BY place"
            lines = [line for (line,) in self._reader.execute(query, (first, first + count))]
        except sqlite3.Error as error:
            raise JournalError(self.path, f"cannot be read: {error}") from error
        if len(lines) != count:
            raise JournalError(self.path, f"has lost {count - len(lines)} of the outcomes {first} to {first + count - 1}")
        return lines

    def close(self) -> None:
        """Give the file back."""
        self._reader.close()
        self._database.close()


def _create(database: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    if version != 0:
        raise sqlite3.DatabaseError(f"it has version {version}, and this headrace writes version {SCHEMA_VERSION}")
    with closing(database.cursor()) as cursor:
        cursor.executescript(f"BEGIN IMMEDIATE; {SCHEMA}")
        rows: Sequence[tuple[str, str]] = [*identity.items(), ("state", _encode_state(State()).decode())]
        cursor.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        cursor.execute("COMMIT")

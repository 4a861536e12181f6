"""The journal of a run: one SQLite file beside the output, that holds outcomes until the output does.

What a commit has taken survives the death of the process (`Durability` power: also that of the machine). All calls block
and belong in a thread; one thread at a time, but `read` may run beside a commit.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.edges.store.files import free_name
from pipeline.edges.store.files import identity as file_identity
from pipeline.edges.store.journal_errors import READ_ERRORS, trouble
from pipeline.edges.store.journal_schema import (
    CREATE_HISTORY,
    JOIN_DONE,
    PUT_DONE,
    PUT_HISTORY,
    PUT_LINES,
    PUT_META,
    State,
    checked,
    connect,
    create,
    encode_state,
    line_checksum,
    load,
    meta_checksum,
    meta_seed,
    refuse_foreign,
)
from pipeline.edges.store.transactions import transaction
from pipeline.errors import JournalDamagedError, JournalGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

FREE_PAGES = 1024  # 16 MB
SETTINGS = (
    "PRAGMA page_size = 16384",  # for 1.5 kB lines a third less CPU than 4096
    "PRAGMA journal_mode = WAL",
    "PRAGMA wal_autocheckpoint = 500",  # pages: the log stays around 8 MB
    "PRAGMA cache_size = -2048",  # KiB: rows are appended and deleted in order, so a larger cache holds nothing useful
    "PRAGMA temp_store = MEMORY",
)


class Journal(Struct, eq=False):
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
    _file: tuple[int, int] | None  # which file it is, however it is called
    _deleted: int = 0
    _seed: int = 0  # of the checksum over the state

    def __post_init__(self) -> None:
        self._deleted = self.state.written
        self._seed = meta_seed({"name": self.name, **self.identity})

    @classmethod
    def open(cls, path: Path, identity: Mapping[str, str], *, power: bool = False) -> Journal:
        """Open a journal, or begin one for a run of that identity. power: wait for the disk at every commit.

        Raises JournalError if it cannot be read or created, or was written by another version.
        """
        what = "cannot be created"
        try:
            if path.exists() and path.stat().st_size:
                what = "cannot be read"
            path.touch(mode=0o600)
            database = connect(path)
            try:
                refuse_foreign(database)
                for setting in SETTINGS:
                    database.execute(setting)
                # NORMAL waits for the disk at a checkpoint only: a dead process loses nothing, dead power the last moments
                database.execute(f"PRAGMA synchronous = {'FULL' if power else 'NORMAL'}")
                create(database, identity)
                name, state, meta = load(database)
                reader = connect(path)
            except BaseException:
                database.close()
                raise
        except READ_ERRORS as error:
            raise trouble(path, error, what) from error
        return cls(path, name, state, meta, database, reader, file_identity(path))

    def places(self, first: int) -> Intervals:
        """The places from `first` on of which it holds an outcome. Raises JournalError."""
        runs = Intervals()
        try:
            for (place,) in self._reader.execute("SELECT place FROM outcomes WHERE place >= ? ORDER BY place", (first,)):
                runs.add(place, place + 1)
        except READ_ERRORS as error:
            raise trouble(self.path, error) from error
        return runs

    def done(self) -> Intervals:
        """The rows that have an outcome, where the output is in the order of completion. Raises JournalError."""
        try:
            runs = self._reader.execute("SELECT first, end FROM done ORDER BY first").fetchall()
            ends = [0, *(end for _, end in runs)]
            if not all(before <= first < end for before, (first, end) in zip(ends, runs, strict=False)):
                raise ValueError("the rows that are done are not what was written")
        except READ_ERRORS as error:
            raise trouble(self.path, error) from error
        return Intervals(runs)

    def lines(self, first: int) -> Iterator[tuple[int, bytes]]:
        """Place and line of every outcome that it holds from `first` on, in order. Raises JournalError."""
        query = "SELECT * FROM outcomes WHERE place >= ? ORDER BY place"
        try:
            for place, line, checksum in self._reader.execute(query, (first,)):
                yield place, self._sound(place, line, checksum)
        except READ_ERRORS as error:
            raise trouble(self.path, error) from error

    def commit(
        self,
        lines: Iterable[tuple[int, bytes]],
        state: State,
        done: Sequence[tuple[int, int]] = (),
        history: tuple[int, bytes] | None = None,
    ) -> None:
        """Take outcomes (place, line) and a new state, all or nothing; forget what the state says is written.

        done: runs of rows that have an outcome now, each as long as it is, those within it included. history: a session and its data.
        Raises JournalError when the disk is full or fails, JournalGoneError if somebody has deleted the journal meanwhile.
        """
        with self._transaction() as database:
            database.executemany(PUT_LINES, checked(lines))
            if state.written > self._deleted:
                database.execute("DELETE FROM outcomes WHERE place < ?", (state.written,))
            if done:
                database.executemany(JOIN_DONE, done)
                database.executemany(PUT_DONE, done)
            if history is not None:
                database.execute(CREATE_HISTORY)
                database.execute(PUT_HISTORY, history)
            self._put_state(database, state)
        self.state = state
        self._deleted = state.written
        if file_identity(self.path) != self._file:
            raise JournalGoneError(self.path, self._rescue())

    def replace(self, lines: Iterable[tuple[int, bytes]], state: Callable[[], tuple[State, Iterable[tuple[int, int]]]]) -> None:
        """Take these outcomes instead of all that it holds, and then the new state and the rows that are done, all or nothing.

        Raises JournalError.
        """
        with self._transaction() as database:
            database.execute("DELETE FROM outcomes")
            database.executemany(PUT_LINES, checked(lines))
            new, done = state()
            database.execute("DELETE FROM done")
            database.executemany(PUT_DONE, done)
            self._put_state(database, new)
        self.state = new
        self._deleted = new.written

    def accept(self, identity: Mapping[str, str]) -> None:
        """Take another identity from now on. Raises JournalError."""
        seed = meta_seed({"name": self.name, **identity})
        with self._transaction() as database:
            database.execute("DELETE FROM meta WHERE key != 'name'")
            database.executemany(PUT_META, list(identity.items()))
            self._seed, was = seed, self._seed
            try:
                self._put_state(database, self.state)
            except sqlite3.Error:
                self._seed = was
                raise
        self.identity = identity

    def _put_state(self, database: sqlite3.Connection, state: State) -> None:
        text = encode_state(state)
        database.executemany(PUT_META, (("state", text.decode()), ("checksum", meta_checksum(self._seed, text))))

    def shrink(self) -> None:
        """Give back what outcomes took that are gone, if it is much and the disk lets us."""
        with suppress(sqlite3.Error):
            (free,) = self._database.execute("PRAGMA freelist_count").fetchone()
            if free > FREE_PAGES:
                self._database.execute("VACUUM")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with transaction(self._database) as database:
                yield database
        except sqlite3.Error as error:
            raise trouble(self.path, error, "cannot be written") from error

    def read(self, first: int, count: int) -> list[bytes]:
        """The lines at the places `[first, first + count)`. Raises JournalError if one is missing or damaged."""
        try:
            query = "SELECT * FROM outcomes WHERE place >= ? AND place < ? ORDER BY place"
            lines = [self._sound(*row) for row in self._reader.execute(query, (first, first + count))]
        except READ_ERRORS as error:
            raise trouble(self.path, error) from error
        if len(lines) != count:
            raise JournalDamagedError(self.path, f"has lost {count - len(lines)} of the outcomes {first} to {first + count - 1}")
        return lines

    def _sound(self, place: int, line: object, checksum: int) -> bytes:
        """The line, if it is what was written at its place: SQLite itself does not see a spoilt byte."""
        if not isinstance(line, bytes) or line_checksum(place, line) != checksum:
            raise JournalDamagedError(self.path, f"is damaged: the outcome {place} is not what was written")
        return line

    def _rescue(self) -> str:
        """Write what the journal holds to a new file in its place, or beside it if the name is taken; what happened, for people."""
        is_free = file_identity(self.path) is None
        target = self.path if is_free else free_name(self.path)
        made = target.with_name(target.name + ".rescued")
        try:
            if is_free:  # a log of the file that is gone would be taken for one of the new file
                for part in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + part).unlink(missing_ok=True)
            made.unlink(missing_ok=True)
            made.touch(mode=0o600)
            copy = connect(made)
            try:
                self._database.backup(copy)
            finally:
                copy.close()
            made.rename(target)
        except (sqlite3.Error, OSError) as error:
            return f"was deleted while the run wrote to it, and cannot be written again: {error}"
        if is_free:
            return "was deleted while the run wrote to it; what it held is there again, so run again"
        return f"was replaced while the run wrote to it; what it held is in {target}: put that back before you run again"

    def close(self) -> None:
        """Give the file back. What a closing checkpoint cannot put into it stays in its log."""
        for connection in (self._reader, self._database):
            connection.close()

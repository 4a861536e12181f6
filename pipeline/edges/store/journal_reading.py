"""Reads a journal that a run may be writing at this moment, or that is damaged. Changes nothing and leaves nothing behind.

SQLite makes a log and an index of it beside the database when it opens one for reading, and does not remove them again. So a
journal without a log is opened as a file that nobody changes, which a run that begins at that moment would break; the reader
checks afterwards whether one has. With a log, SQLite needs the index: if it is not there, both files are copied to a temporary
folder and read there.
"""

from __future__ import annotations

import shutil
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.edges.store.journal_errors import READ_ERRORS, refuse_other_kinds, trouble
from pipeline.edges.store.journal_schema import State, connect, line_checksum, load, refuse_foreign, refuse_unmade

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator


def peek(path: Path) -> tuple[State, dict[str, str], int]:
    """The state, the identity and the number of outcomes held.

    Raises JournalError if it cannot be read.
    """
    refuse_other_kinds(path)
    try:
        while True:
            had_log = _has_log(path)
            with _opened(path, has_log=had_log) as database:
                told = _look(database)
            if had_log or not _has_log(path):
                return told
    except READ_ERRORS as error:
        raise trouble(path, error) from error


def histories(path: Path) -> list[bytes]:
    """What the report of a run is made of, the oldest session first; see `edges/telemetry/kept.py`.

    Raises JournalError if it cannot be read.
    """
    refuse_other_kinds(path)
    try:
        with _opened(path, has_log=_has_log(path)) as database:
            refuse_foreign(database)
            refuse_unmade(database)
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'history'").fetchone():
                return []
            return [bytes(data) for (data,) in database.execute("SELECT data FROM history ORDER BY session")]
    except READ_ERRORS as error:
        raise trouble(path, error) from error


def _look(database: sqlite3.Connection) -> tuple[State, dict[str, str], int]:
    refuse_foreign(database)
    database.execute("BEGIN")
    refuse_unmade(database)
    _, state, meta = load(database)
    (held,) = database.execute("SELECT count(*) FROM outcomes WHERE place >= ?", (state.written,)).fetchone()
    return state, meta, held


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


@contextmanager
def _opened(path: Path, *, has_log: bool) -> Iterator[sqlite3.Connection]:
    if not has_log:
        with closing(connect(path, "mode=ro&immutable=1")) as database:
            yield database
    elif path.with_name(path.name + "-shm").exists():
        with closing(connect(path, "mode=ro")) as database:
            yield database
    else:
        with TemporaryDirectory(prefix="headrace-") as folder:
            for part in ("", "-wal"):
                shutil.copy(path.with_name(path.name + part), folder)
            with closing(connect(Path(folder) / path.name)) as database:
                yield database


def salvage(path: Path) -> Iterator[tuple[int, bytes]]:
    """Place and line of every outcome that is still whole in a damaged journal, whose log is put into it. Makes none if there is none."""
    if not path.exists():
        return
    try:
        with closing(connect(path)) as database:
            for place, line, checksum in database.execute("SELECT * FROM outcomes ORDER BY place"):
                if isinstance(place, int) and isinstance(line, bytes) and line_checksum(place, line) == checksum:
                    yield place, line
    except READ_ERRORS:
        return

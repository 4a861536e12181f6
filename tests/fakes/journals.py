"""A journal with some lines, and ways to spoil it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.core.bookkeeping.fingerprint import Prefix
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_schema import State, encode_state

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"sink.order": "input", "request.url": "/v1/x"}
STATE = State(
    written=1,
    bytes=7,
    succeeded=2,
    failed=1,
    prompt_tokens=3,
    output_tokens=4,
    row_sum=2**64 - 1,
    unknown=5,
    digest="ab" * 32,
    prefix=Prefix(1, 2, 3, 4, 2**64 - 1),
    rows=10,
    aside="out.jsonl.1",
    committed_at=1e9,
)
LINES = [(place, b'{"place": %d, "text": "\xe2\x80\xa8\\u0000"}\n' % place) for place in range(1, 6)]
MANY = 400
BIG = b"x" * 16_000  # MANY of them are more than SQLite keeps in memory of what is not committed yet


def opened(path: Path) -> closing[Journal]:
    return closing(Journal.open(path, IDENTITY))


def held(journal: Journal) -> list[tuple[int, bytes]]:
    return list(journal.lines(0))


def left_by_a_dead_process(path: Path, folder: str) -> Path:
    """The files as they are on the disk now."""
    target = path.parent / folder
    target.mkdir()
    for part in path.parent.glob(f"{path.name}*"):
        shutil.copy(part, target)
    return target / path.name


def spoil(path: Path, command: str, *values: object) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(command, values)


def make_it_old(path: Path, state: State, version: int, done: list[list[int]] | None = None) -> None:
    """Make it a journal as earlier versions wrote it. done: runs of rows, which stood in the state."""
    spoil(path, "DROP TABLE done")
    spoil(path, "DELETE FROM meta WHERE key = 'checksum'")
    if version == 1:
        spoil(path, "DELETE FROM meta WHERE key = 'name'")
    old = json.loads(encode_state(state)) | {"done": done or []}
    spoil(path, "UPDATE meta SET value = ? WHERE key = 'state'", json.dumps(old))
    spoil(path, f"PRAGMA user_version = {version}")

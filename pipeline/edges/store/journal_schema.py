"""What stands in a journal: its tables, its state, and how a damaged or foreign one is told from a sound one.

`meta` holds the name of the journal, the identity of its run, and its state as JSON; a checksum covers all three. `outcomes` holds lines
of the output, by line number, each with a checksum. `done` holds the rows that have an outcome, as runs `[first, end)`, where the
output is in the order of completion; else the line numbers are the rows. `history` holds, for each process that worked at the run,
what its report is made of (`edges/telemetry/kept.py`); it is made by the first one that stores any.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec
from msgspec import field

from pipeline.core.bookkeeping.fingerprint import Prefix
from pipeline.core.bookkeeping.going import Going
from pipeline.core.bookkeeping.ledger import Priced
from pipeline.core.bookkeeping.sums import crc32
from pipeline.core.pacing.findings import Learned  # noqa: TC001  msgspec resolves it at run time
from pipeline.edges.store.journal_errors import ForeignError, UnmadeError
from pipeline.messages import NOTHING, Spending, Spent
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SCHEMA_VERSION = 3
APPLICATION_ID = 0x68647263  # "hdrc": distinguishes our files from other databases
CHECKSUM_MASK = 0xFFFFFFFF  # a line's checksum begins with its place, so that a line in another's place is found like a damaged one
BUSY_SECONDS = 30.0  # somebody else may hold it for a while (a backup, a shell)
TABLES = {"meta", "outcomes"}
CREATE_DONE = "CREATE TABLE done (first INTEGER PRIMARY KEY, end INTEGER NOT NULL)"
SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE outcomes (place INTEGER PRIMARY KEY, line BLOB NOT NULL, checksum INTEGER NOT NULL)",
    CREATE_DONE,
)
CREATE_HISTORY = "CREATE TABLE IF NOT EXISTS history (session INTEGER PRIMARY KEY, data BLOB NOT NULL)"
PUT_HISTORY = "INSERT OR REPLACE INTO history VALUES (?, ?)"
PUT_LINES = "INSERT INTO outcomes VALUES (?, ?, ?)"
PUT_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
PUT_DONE = "INSERT OR REPLACE INTO done VALUES (?, ?)"
JOIN_DONE = "DELETE FROM done WHERE first > ? AND first < ?"


class State(Record, frozen=True):
    """How far a run has come, as of one commit.

    written: lines in the output; bytes, digest: its length and SHA-256 then. The outcomes counted here whose place is
    `written` or later are in the journal. recorded: all outcomes there are. prefix, row_sum: what the rows that have an
    outcome are recognised by. unknown: attempts that left and of which nothing more is known. rows: of the input, None while
    its end was not seen. aside: what the output is to be renamed to before anything else (see `rebuild`). committed_at:
    seconds since the epoch. spent: of a budget, where the run has one: cost (10⁻¹² of the currency), tokens, requests, seconds.
    learned: what was found out about the limits of each lane, spent_by_lane: what was spent of its budget, by its name.
    largest_attempt: the most that one attempt may cost, where there is a budget.
    going: what the run was about at that moment. finish_reasons: answers by why they ended. rejected: answers under a success
    status that were none. priced: what the answers cost.
    """

    written: int = 0
    bytes: int = 0
    succeeded: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    row_sum: int = 0
    unknown: int = 0
    digest: str = ""
    prefix: Prefix = field(default_factory=Prefix)
    rows: int | None = None
    aside: str = ""
    committed_at: float = 0.0
    spent: tuple[int, int, int, float] = (0, 0, 0, 0.0)
    learned: dict[str, Learned] = field(default_factory=dict)
    going: Going = field(default_factory=Going)
    finish_reasons: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    priced: Priced = field(default_factory=Priced)
    spent_by_lane: dict[str, Spending] = field(default_factory=dict)
    largest_attempt: Spending = NOTHING

    @property
    def recorded(self) -> int:
        """Rows that have an outcome."""
        return self.succeeded + self.failed

    @property
    def budgets(self) -> Spent:
        """What was spent of the run's budget and of its lanes'."""
        *amounts, seconds = self.spent
        return Spent(Spending(*amounts), seconds, self.spent_by_lane, self.largest_attempt)


class _OldState(msgspec.Struct):
    """What a state of version 1 or 2 held besides: the runs that are in a table now."""

    done: tuple[tuple[int, int], ...] = ()


encode_state = msgspec.json.Encoder().encode


def decode_state(text: str) -> State:
    """The state in a journal. Raises msgspec.DecodeError."""
    if text == _NEW_STATE:  # of a journal that was just made: its decoder takes 1 ms to make
        return State()
    return _state_decoder().decode(text)


@cache
def _state_decoder() -> msgspec.json.Decoder[State]:
    return msgspec.json.Decoder(State)


_NEW_STATE = encode_state(State()).decode()


def connect(path: Path, options: str = "") -> sqlite3.Connection:
    """Open a database. options: of an SQLite URI, for reading."""
    if options:
        return sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def load(database: sqlite3.Connection) -> tuple[str, State, dict[str, str]]:
    """The name, the state and the identity of a journal. Raises one of READ_ERRORS if they are not what was written."""
    meta = _read_meta(database)
    checksum = meta.pop("checksum")
    state = meta.pop("state")
    if checksum != meta_checksum(meta_seed(meta), state.encode()):
        raise ValueError("its state is not what was written")
    return meta.pop("name"), decode_state(state), meta


def meta_seed(meta: Mapping[str, str]) -> int:
    """The checksum over all of `meta` but the state."""
    return crc32("\0".join(f"{key}\0{value}" for key, value in sorted(meta.items())).encode("utf-8", "surrogatepass"))


def meta_checksum(seed: int, state: bytes) -> str:
    """What stands under the key `checksum`."""
    return str(crc32(state, seed))


def _read_meta(database: sqlite3.Connection) -> dict[str, str]:
    rows = database.execute("SELECT CAST(key AS BLOB), CAST(value AS BLOB) FROM meta")
    return {bytes(key).decode(): bytes(value).decode() for key, value in rows}


def refuse_foreign(database: sqlite3.Connection) -> None:
    """Raise ForeignError for another program's database, and for a journal of a newer version."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if owner != APPLICATION_ID and (owner or version or tables) and not tables >= TABLES:
        raise ForeignError("it is another program's database; --fresh moves it aside and starts over")
    if owner != APPLICATION_ID and tables:
        raise ValueError("its header is not what was written")
    if version > SCHEMA_VERSION:
        raise ForeignError(f"it has version {version}, and this headrace knows version {SCHEMA_VERSION}; go on with the one that wrote it")


def refuse_unmade(database: sqlite3.Connection) -> None:
    """Raise UnmadeError for a database that is not a journal yet: an empty file is one, too."""
    if not database.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise UnmadeError("it is empty")


def create(database: sqlite3.Connection, identity: Mapping[str, str]) -> None:
    """Make the tables, or bring those of an earlier version up to date. All or nothing."""
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    with closing(database.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        if version == 0:
            for statement in SCHEMA:
                cursor.execute(statement)
            meta = {**identity, "state": _NEW_STATE}
        else:
            meta = _read_meta(database)
            cursor.execute(CREATE_DONE)
            cursor.executemany(PUT_DONE, msgspec.json.decode(meta["state"], type=_OldState).done)
        meta.setdefault("name", token_hex(16))  # since version 2
        state = encode_state(decode_state(meta.pop("state")))
        checksum = meta_checksum(meta_seed(meta), state)  # since version 3
        cursor.executemany(PUT_META, [*meta.items(), ("state", state.decode()), ("checksum", checksum)])
        cursor.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        cursor.execute("COMMIT")


def checked(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, int]]:
    """Places and lines, with their checksums."""
    return ((place, line, line_checksum(place, line)) for place, line in lines)


def line_checksum(place: int, line: bytes) -> int:
    """The checksum of a line at its place."""
    return crc32(line, place & CHECKSUM_MASK)

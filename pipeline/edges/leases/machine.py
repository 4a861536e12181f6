"""Shares a limit among the processes of one user on one machine, through an SQLite file.

The file holds a `Coordinator` as one value. A report reads it, changes it and writes it back in one transaction, so the processes
need no server, and whoever reports does the work. Times in the file are those of the machine's monotonic clock, which all
processes share and which begins anew with each boot; so the file's name has the boot in it.

A process that was not heard of for EXPIRY_SECONDS is given up for dead. It stops by itself before that, because it may use an
answer for VALID_SECONDS only. A process that was merely suspended is told so by its next report, and joins anew.

Nothing is synced to the disk: after a crash of the machine there is another boot, and another file.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pipeline.core.pacing.permits import Coordinator, GivenUpError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.pacing.permits import Demand, Permits, Reply

Shared = list[tuple[int, float, bool]]  # of each limit: amount, seconds, by tokens

VALID_SECONDS = 2.0
EXPIRY_SECONDS = 3.0
BUSY_SECONDS = 1.0  # that a report waits for others to finish theirs; each takes about a millisecond
GIVEN_UP = 256  # names that are remembered; a process that wakes up after so many others died is given up all the same, by its silence


class LimitsDifferError(Exception):
    """Other processes share other limits under this name just now."""


class _Stored(Struct):
    """What the file holds. used: clock of the latest report."""

    limits: Shared
    coordinator: Coordinator
    used: float


_decode = msgspec.json.Decoder(_Stored).decode
_encode = msgspec.json.Encoder().encode


def shared_folder() -> Path:
    """Where the files are. The same for a login, a service and a cron job of one user, so that they find each other."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "headrace" / "limits"  # noqa: PTH117  no Path is made of ""


class MachineLease:
    """A `LimitLease` of this machine. limits: as `LeasedLane.shared` says them. clock: the machine's, in seconds.

    Raises LimitsDifferError where others share other limits under this name, OSError where the file cannot be used.
    """

    valid_seconds = VALID_SECONDS

    def __init__(self, folder: Path, name: str, limits: Shared, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = [(int(amount), float(period), by_tokens) for amount, period, by_tokens in limits]
        self._clock = clock
        self._me = uuid.uuid4().hex
        self._has_joined = False
        self._path = folder / f"{name}.{_machine()}.{_boot()}.sqlite"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_others(folder, name, self._path)
        self._database = _open(self._path)
        with self._changing():
            pass  # the limits are compared

    def report(self, demand: Demand) -> Reply:
        """See `LimitLease`."""
        try:
            with self._changing() as stored:
                self._require_place(stored.coordinator)
                reply = stored.coordinator.report(self._me, demand, self._clock())
        except GivenUpError:
            self._me = uuid.uuid4().hex
            self._has_joined = False
            raise
        except LimitsDifferError:
            raise OSError("another process shares other limits under this name by now") from None
        self._has_joined = True
        return reply

    def leave(self, back: Sequence[Permits]) -> None:
        """See `LimitLease`. Closes the file."""
        try:
            with self._changing() as stored:
                stored.coordinator.leave(self._me, back, self._clock())
        except LimitsDifferError:
            pass  # this process was given up for dead, so nothing is its own
        finally:
            self._database.close()

    def _require_place(self, coordinator: Coordinator) -> None:
        """See that the others still know what this process holds. They may have begun anew while it was suspended."""
        if self._has_joined and self._me not in coordinator.holders:
            raise GivenUpError(self._me)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Stored]:
        """What is stored, to be changed while nobody else does; stored when the block ends well."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                now = self._clock()
                stored = self._current(now)
                for name, holder in list(stored.coordinator.holders.items()):
                    if now - holder.seen > EXPIRY_SECONDS:
                        stored.coordinator.give_up(name, now)
                yield stored
                del stored.coordinator.given_up[:-GIVEN_UP]
                stored.used = now
                self._database.execute("INSERT OR REPLACE INTO shared VALUES (0, ?)", (_encode(stored),))
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise OSError(f"{self._path}: {error}") from error

    def _current(self, now: float) -> _Stored:
        row = self._database.execute("SELECT value FROM shared").fetchone()
        if row is None:
            return _Stored(self._limits, Coordinator.of(self._limits), now)
        stored: _Stored = _decode(row[0])
        if stored.limits == self._limits and stored.used <= now:
            return stored
        if any(now - holder.seen <= EXPIRY_SECONDS for holder in stored.coordinator.holders.values()):
            raise LimitsDifferError
        fresh = Coordinator.of(self._limits)
        for pool in fresh.pools:  # what was used under the old limits is not known under these
            pool.free = [(now + pool.period, pool.amount)]
        return _Stored(self._limits, fresh, now)


def _open(path: Path) -> sqlite3.Connection:
    try:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        os.close(handle)
        database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=OFF")
        database.execute("CREATE TABLE IF NOT EXISTS shared (id INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from error
    return database


def _remove_others(folder: Path, name: str, mine: Path) -> None:
    """Remove what earlier boots of this machine left."""
    for old in folder.glob(f"{name}.{_machine()}.*.sqlite*"):
        if not old.name.startswith(mine.name):
            old.unlink(missing_ok=True)


def _machine() -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname()) or "machine"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]
    except OSError:  # not Linux: an earlier boot shows by its clock, see `_current`
        return "boot"

"""What is no journal of ours, of another version, or damaged is a clear error, and never a wrong line."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pipeline.core.output.lines import encode_batch
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_errors import trouble
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.journal_schema import SCHEMA_VERSION, State
from pipeline.edges.store.spool import OWNER_BYTES
from pipeline.errors import JournalDamagedError, JournalError
from tests.fakes.journals import BIG, IDENTITY, LINES, STATE, held, make_it_old, opened, spoil

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.journal"


# ---- what is no journal of ours ----------------------------------------------------------------------------------


def test_a_journal_of_version_1_gets_a_name_and_keeps_everything(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
    make_it_old(path, STATE, 1)

    with opened(path) as journal:
        name = journal.name
        assert (journal.state, journal.identity, held(journal)) == (STATE, IDENTITY, LINES)
    with opened(path) as journal:
        assert journal.name == name
    assert len(bytes.fromhex(name)) == OWNER_BYTES


def test_a_journal_of_version_2_keeps_the_rows_that_are_done(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        name = journal.name
    make_it_old(path, STATE, 2, [[0, 2], [4, 9]])

    with opened(path) as journal:
        assert (journal.name, journal.state, journal.identity, held(journal)) == (name, STATE, IDENTITY, LINES)
        assert list(journal.done()) == [(0, 2), (4, 9)]


def test_a_newer_journal_is_refused_with_both_versions_and_left_as_it_is(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
    spoil(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = path.read_bytes()

    for look in (lambda: Journal.open(path, IDENTITY), lambda: peek(path)):
        with pytest.raises(JournalError, match=rf"version {SCHEMA_VERSION + 1}, .*knows version {SCHEMA_VERSION}; go on with the one"):
            look()

    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_is(path: Path) -> None:
    spoil(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()

    with pytest.raises(JournalError, match="another program's database; --fresh moves it aside"):
        Journal.open(path, IDENTITY)

    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "command",
    [
        "DELETE FROM meta",
        "UPDATE meta SET value = '{\"written\": \"x\"}' WHERE key = 'state'",
        "DROP TABLE meta",
        "UPDATE meta SET value = '['",
    ],
)
def test_a_journal_without_a_state_is_a_clear_error(path: Path, command: str) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
    spoil(path, command)

    with pytest.raises(JournalError, match=r"cannot be read: .*; --accept-changes goes on .*, --fresh"):
        Journal.open(path, IDENTITY)


def test_a_text_in_the_journals_place_is_a_clear_error(path: Path) -> None:
    path.write_text("This is not what you are looking for.\n" * 1000)

    with pytest.raises(JournalError, match="file is not a database"):
        Journal.open(path, IDENTITY)


def test_an_empty_file_is_a_journal_that_was_not_begun(path: Path) -> None:
    path.touch()  # a process died between making it and its first commit

    with opened(path) as journal:
        assert (journal.state, journal.identity) == (State(), IDENTITY)


@pytest.mark.parametrize("page", range(1, 9))
@pytest.mark.parametrize("junk", [b"\x00", b"\xff", b"\x0d"])
@pytest.mark.parametrize("first, end", [(0, 1), (0.5, 0.6), (0, 0.1)])
def test_a_spoilt_page_is_a_clear_error_and_never_a_wrong_line(path: Path, page: int, junk: bytes, first: float, end: float) -> None:
    lines = [(place, b"%d" % place + BIG) for place in range(8)]
    with opened(path) as journal:
        journal.commit(lines, State())
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big")
    assert len(data) >= 9 * size
    hurt = range(int((page + first) * size), int((page + end) * size))
    data[hurt.start : hurt.stop] = junk * len(hurt)
    path.write_bytes(data)

    seen: list[tuple[int, bytes]] = []
    with suppress(JournalError), opened(path) as spoilt:
        seen += spoilt.lines(0)
    with suppress(JournalError), opened(path) as spoilt:
        assert spoilt.read(0, 8) == [line for _, line in lines]

    assert set(seen) <= set(lines)


def test_no_byte_can_be_spoilt_so_that_the_journal_says_something_else(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE, [(0, 2), (4, 9)])
    data = path.read_bytes()
    sound = (STATE, IDENTITY, LINES, [(0, 2), (4, 9)])
    damaged = momentary = 0

    for at in [at for at, byte in enumerate(data) if byte]:
        path.write_bytes(data[:at] + bytes([data[at] ^ (0x01 if at % 2 else 0xFF)]) + data[at + 1 :])
        for part in ("-wal", "-shm"):
            path.with_name(path.name + part).unlink(missing_ok=True)
        try:
            with opened(path) as spoilt:
                seen = (spoilt.state, spoilt.identity, held(spoilt), list(spoilt.done()))
        except JournalError as error:
            damaged += isinstance(error, JournalDamagedError)
            momentary += "for a moment" in str(error)
        else:
            assert seen[:2] == sound[:2], f"byte {at} of {len(data)}"
            assert set(seen[2]) <= set(LINES)  # how many there are is in the state, and so is the number of rows that are done
        with suppress(JournalError):
            assert peek(path)[:2] == sound[:2]
    assert damaged > 100
    assert not momentary


@pytest.mark.parametrize("change", ["line = line || 'x'", "line = CAST('' AS BLOB)", "place = place + 10"])
def test_a_line_that_was_changed_or_moved_says_where(path: Path, change: str) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
    spoil(path, f"UPDATE outcomes SET {change} WHERE place = 3")
    place = 13 if "place" in change else 3

    with opened(path) as spoilt:
        with pytest.raises(JournalError, match=f"damaged: the outcome {place} is not what was written"):
            spoilt.read(place, 1)
        with pytest.raises(JournalError, match=f"damaged: the outcome {place} is not"):
            held(spoilt)


@pytest.mark.parametrize("in_order", [True, False])
def test_a_journal_that_has_lost_an_outcome_is_not_gone_on_with(path: Path, *, in_order: bool) -> None:
    paths, kind = Paths(path.with_name("out.jsonl"), path), Kind(encode_batch, in_order, power=False)
    with opened(path) as journal:
        journal.commit(LINES, State(succeeded=4, failed=1), [(1, 6)])
    spoil(path, "DELETE FROM outcomes WHERE place = 3")
    paths.output.touch()

    with pytest.raises(JournalError, match="holds 4 outcomes instead of 5"):
        open_durable(paths, kind, IDENTITY)


def test_a_disk_that_fails_for_a_moment_is_no_damage(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        said = sqlite3.DatabaseError("database disk image is malformed")  # what SQLite says of a read that failed in its log

        assert type(trouble(path, said)) is JournalError
        assert "the disk failed for a moment; run again" in str(trouble(path, said))
    names = {part.name for part in path.parent.iterdir()}
    assert type(trouble(path, said)) is JournalError
    assert {part.name for part in path.parent.iterdir()} == names
    spoil(path, "DROP TABLE done")
    assert type(trouble(path, said)) is JournalDamagedError


def test_a_disk_that_fails_for_good_is_no_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)

        def fail(*_: object) -> bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "pread", fail)
        said = trouble(path, sqlite3.DatabaseError("database disk image is malformed"))

    assert type(said) is JournalError
    assert "cannot be read: Input/output error" in str(said)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_journal_cut_short_is_a_clear_error(path: Path, share: float) -> None:
    with opened(path) as journal:
        journal.commit([(place, BIG) for place in range(8)], State())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    with pytest.raises(JournalError), opened(path) as cut:
        cut.read(0, 8)

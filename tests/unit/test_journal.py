"""What a commit took is there whatever happens next, and what a commit did not take is not there at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.bookkeeping.fingerprint import Prefix
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.output.lines import encode_batch
from pipeline.durability.commits import runs_of
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.edges.store import journal_reading, journal_schema
from pipeline.edges.store.journal import FREE_PAGES, Journal
from pipeline.edges.store.journal_errors import trouble
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.journal_schema import SCHEMA_VERSION, State, encode_state
from pipeline.edges.store.spool import OWNER_BYTES
from pipeline.errors import JournalDamagedError, JournalError, JournalGoneError

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.journal"


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


# ---- commits -----------------------------------------------------------------------------------------------------


def test_what_a_commit_took_is_there_when_the_process_dies_after_it(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        dead = left_by_a_dead_process(path, "dead")

    with opened(dead) as again:
        assert held(again) == LINES
        assert again.state == STATE
        assert again.identity == IDENTITY


def test_what_a_commit_took_needs_no_shared_memory_file(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        dead = left_by_a_dead_process(path, "dead")
    dead.with_name(dead.name + "-shm").unlink()

    with opened(dead) as again:
        assert held(again) == LINES
    assert peek(dead) == (STATE, IDENTITY, len(LINES))


def test_a_commit_that_a_death_cut_off_took_nothing(path: Path) -> None:
    dead: list[Path] = []

    def lines() -> Iterator[tuple[int, bytes]]:
        yield from ((place, BIG) for place in range(10, 10 + MANY))
        dead.append(left_by_a_dead_process(path, "dead"))

    with opened(path) as journal:
        journal.commit(LINES, STATE)
        journal.commit(lines(), evolve(STATE, succeeded=MANY))
        assert len(held(journal)) == len(LINES) + MANY

    with opened(dead[0]) as again:
        assert held(again) == LINES
        assert again.state == STATE


def test_a_commit_that_is_refused_takes_nothing_and_the_next_one_is_taken(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        with pytest.raises(JournalError, match="cannot be written: UNIQUE"):
            journal.commit([(6, b"new\n"), LINES[0]], evolve(STATE, succeeded=9))
        assert (journal.state, held(journal)) == (STATE, LINES)
        journal.commit([(6, b"new\n")], evolve(STATE, succeeded=3))

    with opened(path) as again:
        assert held(again) == [*LINES, (6, b"new\n")]
        assert again.state.succeeded == 3


def test_what_breaks_while_lines_are_made_takes_nothing(path: Path) -> None:
    def lines() -> Iterator[tuple[int, bytes]]:
        yield 6, b"new\n"
        raise ValueError("no line")

    with opened(path) as journal:
        journal.commit(LINES, STATE)
        with pytest.raises(ValueError, match="no line"):
            journal.commit(lines(), STATE)
        with pytest.raises(ValueError, match="no line"):
            journal.replace(lines(), lambda: (State(), ()))

        assert (journal.state, held(journal)) == (STATE, LINES)


def test_what_the_output_has_is_forgotten(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        journal.commit([(6, b"new\n")], evolve(STATE, written=4))
        journal.commit([], evolve(STATE, written=4))

        assert held(journal) == [*LINES[3:], (6, b"new\n")]


def test_replacing_forgets_all_lines_and_may_begin_again_from_the_first_place(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        journal.commit([], STATE, [(3, 5)])
        journal.replace([(0, b"a\n"), (3, b"b\n")], lambda: (State(), [(0, 1), (7, 9)]))
        assert list(journal.done()) == [(0, 1), (7, 9)]
        journal.commit([(1, b"c\n")], State())

    with opened(path) as again:
        assert held(again) == [(0, b"a\n"), (1, b"c\n"), (3, b"b\n")]
        assert again.state == State()


def test_another_identity_that_was_accepted_is_the_journals_from_then_on(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        journal.accept({**IDENTITY, "request.url": "/v1/y"})
        assert journal.identity["request.url"] == "/v1/y"
        dead = left_by_a_dead_process(path, "dead")

    with opened(dead) as again:
        assert again.identity == {"sink.order": "input", "request.url": "/v1/y"}
        assert (again.state, held(again)) == (STATE, LINES)


# ---- reading -----------------------------------------------------------------------------------------------------


def test_places_are_those_held_from_the_first_asked_for(path: Path) -> None:
    with opened(path) as journal:
        journal.commit([(place, b"\n") for place in (9, 3, 4, 5, 7, 8)], State())

        assert list(journal.places(0)) == [(3, 6), (7, 10)]
        assert list(journal.places(4)) == [(4, 6), (7, 10)]
        assert list(journal.places(10)) == []


@pytest.mark.parametrize("first, count, lost", [(0, 2, 1), (4, 3, 1), (20, 2, 2), (0, 7, 2)])
def test_reading_a_line_that_is_not_there_says_how_many_are_lost(path: Path, first: int, count: int, lost: int) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)

        assert journal.read(2, 3) == [line for _, line in LINES[1:4]]
        with pytest.raises(JournalError, match=f"has lost {lost} of the outcomes {first} to {first + count - 1}"):
            journal.read(first, count)


def test_reading_goes_on_beside_a_commit(path: Path) -> None:
    seen: list[list[bytes]] = []

    with opened(path) as journal:
        journal.commit(LINES, STATE)

        def lines() -> Iterator[tuple[int, bytes]]:
            yield 6, b"new\n"
            seen.append(journal.read(1, 5))

        journal.commit(lines(), STATE)

    assert seen == [[line for _, line in LINES]]


def test_looking_from_outside_sees_the_last_commit_and_changes_nothing(path: Path) -> None:
    seen: list[object] = []

    with opened(path) as journal:
        journal.commit(LINES, STATE)

        def lines() -> Iterator[tuple[int, bytes]]:
            yield 6, b"new\n"
            seen.append(peek(path))

        journal.commit(lines(), evolve(STATE, succeeded=3))
        seen.append(peek(path))

    assert seen == [(STATE, IDENTITY, 5), (evolve(STATE, succeeded=3), IDENTITY, 6)]


@pytest.mark.parametrize("way", ["closed", "running", "killed", "killed, without the index of its log"])
def test_looking_from_outside_leaves_every_file_as_it_was(path: Path, way: str) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        dead = left_by_a_dead_process(path, "dead")
        if way == "running":
            looked_at(path)
    if way == "closed":
        looked_at(path)
    elif way == "killed":
        looked_at(dead)
    elif way != "running":
        dead.with_name(dead.name + "-shm").unlink()
        looked_at(dead)


def looked_at(path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {part.name: part.read_bytes() for part in path.parent.iterdir() if part.is_file() and not part.name.endswith("-shm")}

    names, before = {part.name for part in path.parent.iterdir()}, files()

    assert peek(path) == (STATE, IDENTITY, len(LINES))

    assert {part.name for part in path.parent.iterdir()} == names
    assert files() == before


def test_looking_sees_a_run_that_begins_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
    later = evolve(STATE, succeeded=3)
    runs: list[Journal] = []

    def look(database: sqlite3.Connection) -> tuple[State, dict[str, str], int]:
        if not runs:
            runs.append(Journal.open(path, IDENTITY))
            runs[0].commit([(6, b"new\n")], later)
        return real_look(database)

    real_look = journal_reading._look
    monkeypatch.setattr(journal_reading, "_look", look)
    seen = peek(path)
    runs[0].close()

    assert seen == (later, IDENTITY, 6)


def test_looking_at_a_journal_that_is_not_there_makes_none(path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        peek(path)

    assert not path.exists()


# ---- the rows that are done --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(groups=st.lists(st.lists(st.integers(0, 60), unique=True, max_size=12), max_size=12))
def test_runs_of_done_rows_are_those_that_were_committed(tmp_path_factory: pytest.TempPathFactory, groups: list[list[int]]) -> None:
    done = Intervals()
    with opened(tmp_path_factory.mktemp("journal") / "j") as journal:
        for group in groups:
            rows = [row for row in group if row not in done]
            for row in rows:
                done.add(row, row + 1)
            journal.commit([], STATE, runs_of(done, rows))
            assert list(journal.done()) == list(done)


def test_a_commit_costs_what_it_changes_and_not_how_many_rows_are_done(path: Path) -> None:
    done = Intervals([(2 * index, 2 * index + 1) for index in range(20_000)])
    with opened(path) as journal:
        journal.commit([], STATE, list(done))
        spoil(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        for row in (2001, 30_001):
            done.add(row, row + 1)
        journal.commit([], STATE, runs_of(done, [2001, 30_001]))
        written = path.with_name(path.name + "-wal").stat().st_size

        assert list(journal.done()) == list(done)
    assert written < 6 * 16_500  # pages


# ---- somebody deletes it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [[""], ["", "-wal", "-shm"]])
def test_a_journal_that_is_deleted_meanwhile_is_told_and_there_again(path: Path, parts: list[str]) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE, [(0, 3)])
        for part in parts:
            path.with_name(path.name + part).unlink()
        with pytest.raises(JournalGoneError, match="was deleted while the run wrote to it; what it held is there again, so run again"):
            journal.commit([(6, b"new\n")], evolve(STATE, succeeded=3))
        name = journal.name

    with opened(path) as again:
        assert (again.name, again.state.succeeded, again.identity) == (name, 3, IDENTITY)
        assert held(again) == [*LINES, (6, b"new\n")]
        assert list(again.done()) == [(0, 3)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_journal_that_is_replaced_meanwhile_is_told_and_kept_beside_it(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        path.rename(path.with_name("moved"))
        path.write_text("something else")
        with pytest.raises(JournalGoneError, match=r"was replaced .* is in .*journal\.1: put that back"):
            journal.commit([(6, b"new\n")], STATE)

    assert path.read_text() == "something else"
    with opened(path.with_name(path.name + ".1")) as again:
        assert held(again) == [*LINES, (6, b"new\n")]


# ---- somebody else has it ----------------------------------------------------------------------------------------


def test_a_writer_that_is_busy_for_a_moment_is_waited_for(path: Path) -> None:
    asked = threading.Event()

    def backup() -> None:
        other.execute("BEGIN IMMEDIATE")
        has_it.set()
        asked.wait()
        other.execute("COMMIT")

    has_it = threading.Event()
    with opened(path) as journal, closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        journal._database.set_trace_callback(lambda _: asked.set())
        thread = threading.Thread(target=backup)
        thread.start()
        has_it.wait()
        journal.commit(LINES, STATE)
        thread.join()

        assert held(journal) == LINES


def test_a_writer_that_stays_busy_is_a_clear_error_and_nothing_is_half_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_schema, "BUSY_SECONDS", 0.0)

    with opened(path) as journal, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="cannot be written: database is locked"):
            journal.commit(LINES, STATE)
        other.execute("ROLLBACK")
        assert (journal.state, held(journal)) == (State(), [])
        journal.commit(LINES, STATE)

        assert held(journal) == LINES


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


def test_what_outcomes_took_is_given_back_when_they_are_gone(path: Path) -> None:
    count = 2 * FREE_PAGES
    with opened(path) as journal:
        journal.commit([(place, BIG) for place in range(count)], State(succeeded=count))
        journal.commit([], State(written=count - 1, succeeded=count))
        journal.shrink()
        assert held(journal) == [(count - 1, BIG)]

    assert path.stat().st_size < 20 * len(BIG)


# ---- who may read it ---------------------------------------------------------------------------------------------


def test_only_its_owner_may_read_it_with_its_log(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)

        modes = {part.name: part.stat().st_mode & 0o777 for part in path.parent.iterdir()}

    assert modes == dict.fromkeys((path.name, f"{path.name}-wal", f"{path.name}-shm"), 0o600)

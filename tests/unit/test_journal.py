"""What a commit took is there whatever happens next, and what a commit did not take is not there at all."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.durability.commits import runs_of
from pipeline.edges.store import journal_reading, journal_schema
from pipeline.edges.store.journal import FREE_PAGES, Journal
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.journal_schema import State
from pipeline.errors import JournalError, JournalGoneError
from tests.fakes.journals import BIG, IDENTITY, LINES, MANY, STATE, held, left_by_a_dead_process, opened, spoil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl.journal"


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
        journal.commit(lines(), replace(STATE, succeeded=MANY))
        assert len(held(journal)) == len(LINES) + MANY

    with opened(dead[0]) as again:
        assert held(again) == LINES
        assert again.state == STATE


def test_a_commit_that_is_refused_takes_nothing_and_the_next_one_is_taken(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(LINES, STATE)
        with pytest.raises(JournalError, match="cannot be written: UNIQUE"):
            journal.commit([(6, b"new\n"), LINES[0]], replace(STATE, succeeded=9))
        assert (journal.state, held(journal)) == (STATE, LINES)
        journal.commit([(6, b"new\n")], replace(STATE, succeeded=3))

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
        journal.commit([(6, b"new\n")], replace(STATE, written=4))
        journal.commit([], replace(STATE, written=4))

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

        journal.commit(lines(), replace(STATE, succeeded=3))
        seen.append(peek(path))

    assert seen == [(STATE, IDENTITY, 5), (replace(STATE, succeeded=3), IDENTITY, 6)]


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
    later = replace(STATE, succeeded=3)
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
            journal.commit([(6, b"new\n")], replace(STATE, succeeded=3))
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

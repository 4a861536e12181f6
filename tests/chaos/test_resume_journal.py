"""What a run does when its journal is lost, damaged or not a journal of its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.fakes.resumed import ROWS, done_after, journal_of, stop_in_the_middle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fakes.processes import Campaign


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def other_program(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (text)")


def no_database(path: Path) -> None:
    path.write_bytes(b"my notes, not a database" * 100)


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100 : len(data) : 7] = b"?" * len(data[100 : len(data) : 7])
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage, message",
    [(newer, "version 99"), (other_program, "another program's database"), (no_database, "not a database"), (corrupt, "cannot be read")],
)
def test_a_journal_that_cannot_be_read_is_refused_and_kept(quick: Campaign, damage: Callable[[Path], None], message: str) -> None:
    done_after(quick)
    damage(journal_of(quick))
    before = journal_of(quick).read_bytes()

    end = quick.run()
    kept = journal_of(quick).read_bytes()
    fresh = quick.run("--fresh")

    assert end.code == 3
    assert message in end.said
    assert "--fresh" in end.said or damage is newer
    assert "Traceback" not in end.said
    assert kept == before
    assert fresh.code == 0, fresh.said


def test_an_output_without_its_journal_is_somebody_elses(quick: Campaign) -> None:
    done_after(quick)
    journal_of(quick).unlink()

    end = quick.run()

    assert end.code == 2
    assert "--fresh" in end.said


@pytest.mark.parametrize("damage", [no_database, corrupt, lambda path: path.unlink()], ids=["no database", "corrupt", "deleted"])
def test_what_the_output_holds_is_gone_on_with_on_demand(quick: Campaign, damage: Callable[[Path], None]) -> None:
    assert quick.run("--limit", "25").code == 0
    damage(journal_of(quick))

    end = quick.run("--accept-changes")

    assert end.summary is not None
    assert (end.code, end.summary["attempts"], end.summary["total"]) == (0, ROWS - 25, ROWS), end.said
    assert quick.lines() == quick.names()
    assert quick.run().code == 0


@pytest.mark.parametrize(
    "damage, attempts",
    [("UPDATE outcomes SET line = X'00' WHERE place = 33", 1), ("DELETE FROM outcomes WHERE place = 33", 2)],
    ids=["a wrong line, seen when its turn comes", "a lost line, seen at once"],
)
def test_what_a_damaged_journal_still_holds_is_gone_on_with_on_demand(runs: Campaign, damage: str, attempts: int) -> None:
    stop_in_the_middle(runs)
    with closing(sqlite3.connect(journal_of(runs))) as database, database:
        database.execute(damage)

    refused = runs.run()
    end = runs.run("--accept-changes")

    assert refused.code == 3
    assert "--accept-changes goes on from what is still whole" in refused.said
    assert end.summary is not None
    assert (end.code, end.summary["attempts"]) == (0, attempts), end.said
    assert runs.lines() == runs.names()
    assert (runs.folder / "out.jsonl.journal.1").exists()

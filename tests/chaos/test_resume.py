"""How a run goes on, and when it refuses to: every way in which input, config, output and journal can be others than they were."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import Campaign, Ended, campaign, ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = 40


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Campaign]:
    """A run that nothing holds up."""
    with campaign(tmp_path, ROWS, {"latency.median_seconds": 0.01}, limits={"max_in_flight": 5}) as made:
        yield made


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Campaign]:
    """A run of which row 30 hangs at first, and those behind it wait in the journal."""
    with campaign(tmp_path, ROWS, {"latency.median_seconds": 0.01, "script": {"30": "15s"}}, limits={"max_in_flight": 5}) as made:
        yield made


def stop_in_the_middle(runs: Campaign) -> None:
    """Kill the run when row 30 hangs and all others are recorded; 30 lines are written."""
    process = runs.start()
    wait_until(lambda: runs.written() == 30 and runs.recorded() == ROWS - 1, process)
    process.kill()
    ended(process)


def done_after(runs: Campaign, *flags: str) -> None:
    end = runs.run(*flags)
    assert end.code == 0, end.said
    assert runs.lines() == runs.names()


# ---- what goes on ------------------------------------------------------------------------------------------------


def test_only_the_row_that_hung_is_sent_again(runs: Campaign) -> None:
    stop_in_the_middle(runs)

    end = runs.run()

    assert end.summary is not None
    assert (end.code, end.summary["attempts"], end.summary["unknown_outcome"], end.summary["skipped_resumed"]) == (0, 1, 1, ROWS - 1)
    assert runs.lines() == runs.names()


def test_appended_rows_are_more_work(quick: Campaign) -> None:
    done_after(quick)
    quick.write_input(ROWS + 7, start=ROWS)

    end = quick.run()

    assert end.summary is not None
    assert (end.code, end.summary["attempts"], end.summary["total"]) == (0, 7, ROWS + 7)
    assert quick.lines() == quick.names()


@pytest.mark.parametrize("limit, lines", [(10, 10), (25, 25)])
def test_a_limit_may_grow_and_shrink(quick: Campaign, limit: int, lines: int) -> None:
    assert quick.run("--limit", "10").code == 0
    assert quick.run("--limit", "5").code == 0
    end = quick.run("--limit", str(limit))

    assert end.code == 0
    assert quick.lines() == quick.names()[:lines]


def test_no_rows_are_a_finished_run(quick: Campaign) -> None:
    (quick.folder / "in.jsonl").write_text("")

    first, again = quick.run(), quick.run()

    assert (first.code, again.code) == (0, 0)
    assert quick.output.read_bytes() == b""


def test_bad_rows_alone_are_a_finished_run(quick: Campaign) -> None:
    (quick.folder / "in.jsonl").write_text("{\n" * 5)

    first, again = quick.run(), quick.run()

    assert (first.code, again.code) == (1, 1)
    assert again.summary is not None
    assert (again.summary["failed"], again.summary["skipped_resumed"]) == (5, 5)
    assert quick.sent() == 0


def test_stdin_goes_on_where_it_was(quick: Campaign) -> None:
    rows = (quick.folder / "in.jsonl").read_text()

    def run_on(text: str) -> Ended:
        (quick.folder / "stdin").write_text(text)
        with (quick.folder / "stdin").open() as file:
            return ended(quick.start("--set", "source.path=-", stdin=file))

    first = run_on("".join(rows.splitlines(keepends=True)[:20]))
    second = run_on(rows)
    other = run_on(rows.replace("prompt 3", "prompt x"))

    assert first.code == 0, first.said
    assert second.code == 0, second.said
    assert quick.lines() == quick.names()
    assert other.code == 2


# ---- what is refused ---------------------------------------------------------------------------------------------


def edit_row(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    path.write_text(path.read_text().replace("prompt 7", "prompt seven"))


def edit_row_behind_the_gap(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    path.write_text(path.read_text().replace("prompt 35", "prompt 36"))


def shorten_input(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))


def swap_rows(runs: Campaign) -> None:
    path = runs.folder / "in.jsonl"
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second, first, *rest]))


def edit_output(runs: Campaign) -> None:
    runs.output.write_bytes(runs.output.read_bytes().replace(b'"row-5"', b'"row-X"'))


def shorten_output(runs: Campaign) -> None:
    runs.output.write_bytes(runs.output.read_bytes()[:2000])


def append_to_output(runs: Campaign) -> None:
    with runs.output.open("ab") as file:
        file.write(b"a note of mine\n")


def delete_output(runs: Campaign) -> None:
    runs.output.unlink()


CHANGES = {
    "row": (edit_row, "in.jsonl has changed"),
    "row-behind-the-gap": (edit_row_behind_the_gap, "in.jsonl has changed"),
    "rows-swapped": (swap_rows, "in.jsonl has changed"),
    "input-shorter": (shorten_input, "in.jsonl has fewer rows"),
    "output-edited": (edit_output, "out.jsonl was edited"),
    "output-shorter": (shorten_output, "out.jsonl holds 2,000 bytes"),
    "output-longer": (append_to_output, "out.jsonl was edited"),
    "output-deleted": (delete_output, "out.jsonl is gone"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_and_nothing_is_sent_or_touched(runs: Campaign, change: str) -> None:
    act, message = CHANGES[change]
    stop_in_the_middle(runs)
    act(runs)
    before = runs.output.read_bytes() if runs.output.exists() else None

    end = runs.run()

    assert end.code == 2
    assert message in end.said
    assert "--fresh" in end.said
    assert "--accept-changes" in end.said
    assert runs.sent() == ROWS
    assert (runs.output.read_bytes() if runs.output.exists() else None) == before


@pytest.mark.parametrize("change", ["row", "row-behind-the-gap", "rows-swapped", "output-shorter", "output-deleted"])
def test_accepted_changes_are_gone_on_with_and_asked_about_once(runs: Campaign, change: str) -> None:
    stop_in_the_middle(runs)
    CHANGES[change][0](runs)

    done_after(runs, "--accept-changes")
    done_after(runs)


@pytest.mark.parametrize("change", list(CHANGES))
def test_fresh_starts_over_and_keeps_what_was_there(runs: Campaign, change: str) -> None:
    stop_in_the_middle(runs)
    CHANGES[change][0](runs)
    left = runs.output.read_bytes() if runs.output.exists() else None

    runs.rows = len((runs.folder / "in.jsonl").read_text().splitlines())
    done_after(runs, "--fresh")

    aside = runs.folder / "out.jsonl.1"
    assert (aside.read_bytes() if aside.exists() else None) == left
    assert (runs.folder / "out.jsonl.1.journal").exists()


@pytest.mark.parametrize(
    "setting, named",
    [
        ("request.body.model=n", "request.body"),
        ("request.url=/v1/completions", "request.url"),
        ("sink.shape=flat", "sink.shape"),
        ("sink.order=completion", "sink.order"),
        ("provider.base_url=http://127.0.0.1:9/v1", "provider.base_url"),
    ],
)
def test_another_config_is_refused_by_name(quick: Campaign, setting: str, named: str) -> None:
    assert quick.run("--limit", "5").code == 0

    end = quick.run("--set", setting)

    assert end.code == 2
    assert named in end.said
    assert quick.sent() == 5


def test_another_model_can_be_accepted_and_another_shape_cannot(quick: Campaign) -> None:
    assert quick.run("--limit", "5").code == 0

    done_after(quick, "--accept-changes", "--set", "request.body.model=n")
    done_after(quick, "--set", "request.body.model=n")
    refused = quick.run("--accept-changes", "--set", "sink.shape=flat", "--set", "request.body.model=n")

    assert refused.code == 2
    assert "sink.shape cannot change" in refused.said


# ---- the journal itself ------------------------------------------------------------------------------------------


def journal_of(runs: Campaign) -> Path:
    return runs.folder / "out.jsonl.journal"


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


def test_the_second_of_two_runs_is_refused_and_the_lock_dies_with_the_first(runs: Campaign) -> None:
    first = runs.start()
    wait_until(lambda: runs.recorded() > 0, first)
    second = runs.run()
    elsewhere = runs.run("--set", "journal.path=other.journal")
    first.send_signal(signal.SIGKILL)
    ended(first)

    assert second.code == 2
    assert "in use by another run" in second.said
    assert elsewhere.code == 2
    done_after(runs)


@pytest.mark.parametrize("flags", [(), ("--fresh",), ("--accept-changes",)], ids=["plain", "fresh", "accept"])
@pytest.mark.parametrize("way", ["another journal", "the journal by a link", "the output by a link"])
def test_no_second_run_takes_the_output_of_one_that_goes_on(tmp_path: Path, way: str, flags: tuple[str, ...]) -> None:
    with campaign(tmp_path, 100, {"latency.median_seconds": 0.01, "script": {"50": "60s"}}, limits={"max_in_flight": 10}) as runs:
        first = runs.start()
        wait_until(runs.written, first)
        for name, target in (("j.link", "out.jsonl.journal"), ("out.link", "out.jsonl")):
            (tmp_path / name).symlink_to(tmp_path / target)
        setting = {
            "another journal": "journal.path=other.journal",
            "the journal by a link": "journal.path=j.link",
            "the output by a link": "sink.path=out.link",
        }[way]
        second = runs.run("--set", setting, *flags)
        assert first.poll() is None
        first.kill()
        ended(first)
        done_after(runs)
        sent = runs.sent()

    assert second.code == 2
    assert "by another run" in second.said or "exists and is never overwritten" in second.said
    assert sent <= 100 + 10
    assert not [path.name for path in tmp_path.iterdir() if ".1" in path.name or "rebuilt" in path.name]


@pytest.mark.parametrize("part", [".sent", ".spool", ".spool.long", "-wal", ".rows"])
def test_an_output_that_would_be_a_part_of_its_journal_is_refused(quick: Campaign, part: str) -> None:
    end = quick.run("--set", "journal.path=j", "--set", f"sink.path=j{part}")

    assert end.code == 2
    assert "would be a part of its journal" in end.said
    assert not list(quick.folder.glob("j*"))


# ---- while it runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["out.jsonl.journal", "out.jsonl.journal*"])
def test_a_journal_that_is_deleted_while_running_ends_the_run_and_loses_nothing(tmp_path: Path, pattern: str) -> None:
    simulate = {"latency.median_seconds": 0.02, "script": {"5": "2s"}}
    with campaign(tmp_path, 300, simulate, limits={"requests_per_second": 200, "max_in_flight": 10}) as runs:
        process = runs.start()
        wait_until(lambda: runs.recorded() >= 40, process)
        for path in list(tmp_path.glob(pattern)):
            path.unlink()
        end = ended(process)
        sent = runs.sent()
        done_after(runs)
        more = runs.sent() - sent

    assert end.code == 3
    assert "journal was deleted while the run wrote to it" in end.said
    assert "Traceback" not in end.said
    assert more <= 300 - sent + 10


@pytest.mark.parametrize("way", ["deleted", "replaced", "moved", "appended"])
def test_an_output_that_is_taken_away_while_running_ends_the_run_and_loses_nothing(tmp_path: Path, way: str) -> None:
    with campaign(tmp_path, 300, {"latency.median_seconds": 0.02}, limits={"requests_per_second": 200, "max_in_flight": 10}) as runs:
        process = runs.start()
        wait_until(lambda: runs.written() >= 40, process)
        if way == "deleted":
            runs.output.unlink()
        elif way == "replaced":
            (tmp_path / "mine").write_text("mine\n")
            (tmp_path / "mine").rename(runs.output)
        elif way == "moved":
            runs.output.rename(tmp_path / "moved")
        else:
            with runs.output.open("ab") as file:
                file.write(b"mine\n")
        end = ended(process)
        if way == "replaced":
            assert runs.output.read_text() == "mine\n"
            (tmp_path / "out.jsonl.1").rename(runs.output)
        elif way == "moved":
            (tmp_path / "moved").rename(runs.output)
        elif way == "appended":
            runs.output.write_bytes(runs.output.read_bytes().replace(b"mine\n", b""))
        sent = runs.sent()
        done_after(runs)
        more = runs.sent() - sent

    assert end.code == 3
    assert "out.jsonl" in end.said
    assert "Traceback" not in end.said
    assert more <= 300 - sent + 10

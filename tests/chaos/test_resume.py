"""How a run goes on where it was, and what ends it or keeps a second one off."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import Campaign, Ended, campaign, ended, wait_until
from tests.fakes.resumed import ROWS, done_after, stop_in_the_middle

if TYPE_CHECKING:
    from pathlib import Path


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

SLOWLY = {"requests_per_second": 40, "max_in_flight": 10}  # it must still run when its files are taken away, however busy the machine
FAST = ("--set", "limits.requests_per_second=1000")


@pytest.mark.parametrize("pattern", ["out.jsonl.journal", "out.jsonl.journal*"])
def test_a_journal_that_is_deleted_while_running_ends_the_run_and_loses_nothing(tmp_path: Path, pattern: str) -> None:
    simulate = {"latency.median_seconds": 0.02, "script": {"5": "2s"}}
    with campaign(tmp_path, 300, simulate, limits=SLOWLY) as runs:
        process = runs.start()
        wait_until(lambda: runs.recorded() >= 40, process)
        for path in list(tmp_path.glob(pattern)):
            path.unlink()
        end = ended(process)
        sent = runs.sent()
        done_after(runs, *FAST)
        more = runs.sent() - sent

    assert end.code == 3
    assert "journal was deleted while the run wrote to it" in end.said
    assert "Traceback" not in end.said
    assert more <= 300 - sent + 10


@pytest.mark.parametrize("way", ["deleted", "replaced", "moved", "appended"])
def test_an_output_that_is_taken_away_while_running_ends_the_run_and_loses_nothing(tmp_path: Path, way: str) -> None:
    with campaign(tmp_path, 300, {"latency.median_seconds": 0.02}, limits=SLOWLY) as runs:
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
        done_after(runs, *FAST)
        more = runs.sent() - sent

    assert end.code == 3
    assert "out.jsonl" in end.said
    assert "Traceback" not in end.said
    assert more <= 300 - sent + 10

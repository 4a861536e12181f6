"""Status tells what the last commit knew and how the config differs, and touches nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

import pipeline
from pipeline.cli import main
from pipeline.cli.texts import status_text
from pipeline.core.bookkeeping.going import Going, LaneWait, RecentRate
from pipeline.durability.paths import Paths
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_schema import State
from pipeline.edges.store.marks import SentMarks
from pipeline.errors import InputError, JournalError
from pipeline.inspect.held import hold_files
from pipeline.inspect.report.gathered import gather
from pipeline.inspect.status import Status, status
from pipeline.runs.inputs import identity_of
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.config import Config

STATE = State(written=2, bytes=20, succeeded=3, failed=1, prompt_tokens=30, output_tokens=40, unknown=1, committed_at=1000.0)
WAITING = [(place, b"{}\n") for place in (2, 4)]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return pipeline.load_config(write_config(tmp_path, "http://127.0.0.1:1/v1"))


def files_of(config: Config) -> Paths:
    return Paths.of(config.sink.path, config.journal.path)


def begin(config: Config, state: State = STATE) -> None:
    with closing(Journal.open(files_of(config).journal, identity_of(config))) as journal:
        journal.commit(WAITING, state)


def test_status_is_what_the_last_commit_knew(config: Config) -> None:
    begin(config)

    found = status(config)

    assert (found.recorded, found.succeeded, found.failed, found.written, found.waiting) == (4, 3, 1, 2, 2)
    assert (found.unknown_outcome, found.prompt_tokens, found.output_tokens, found.output_bytes) == (1, 30, 40, 20)
    assert (found.rows, found.running, found.finished, found.committed_at, found.changes) == (None, False, False, 1000.0, ())


def test_status_of_several_lanes_is_printed_as_json(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their waits are records within the record: it ended in a TypeError."""
    lanes = (LaneWait("eu", "in_flight", None, {"in_flight": 0.4}, 0.6), LaneWait("us", "lane_out", 3.0))
    begin(config, replace(STATE, going=Going(lanes=lanes)))

    with closing(SentMarks.open(files_of(config).marks)):
        code = main(["status", "--json", str(write_config(tmp_path, "http://127.0.0.1:1/v1"))])

    told = json.loads(capsys.readouterr().out)["lanes"]
    assert code == 0
    assert [(lane["name"], lane["bound"], lane["attained"]) for lane in told] == [("eu", "in_flight", 0.6), ("us", "lane_out", None)]


@pytest.mark.parametrize("rows, written, finished", [(None, 4, False), (4, 4, True), (5, 4, False), (0, 0, True)])
def test_a_run_is_finished_when_every_row_of_its_input_is_written(
    config: Config, rows: int | None, written: int, *, finished: bool
) -> None:
    begin(config, replace(STATE, rows=rows, written=written))

    assert status(config).finished is finished
    with closing(SentMarks.open(files_of(config).marks)):
        assert (status(config).running, status(config).finished) == (True, False)
    assert not status(config).running


def test_status_disturbs_no_run_and_makes_no_file(config: Config) -> None:
    begin(config)
    folder = files_of(config).journal.parent
    before = {path.name for path in folder.iterdir()}

    with closing(Journal.open(files_of(config).journal, identity_of(config))) as journal:
        status(config)
        journal.commit([(5, b"{}\n")], replace(STATE, succeeded=4))
        assert status(config).recorded == 5

    assert {path.name for path in folder.iterdir()} == before


def test_status_names_what_the_config_asks_for_that_the_run_did_not(config: Config) -> None:
    begin(config)
    other = replace(config, provider=replace(config.provider, base_url="http://127.0.0.1:2/v1"))

    found = status(other)

    assert found.changes == ("provider.base_url: was http://127.0.0.1:1/v1, is http://127.0.0.1:2/v1",)


def test_where_no_run_has_begun_status_says_so_and_begins_none(config: Config) -> None:
    with pytest.raises(InputError, match="there is no journal; no run has begun"):
        status(config)

    assert not files_of(config).journal.exists()


def test_a_journal_that_cannot_be_read_is_a_clear_error(config: Config) -> None:
    files_of(config).journal.write_text("not a journal at all, but long enough to be looked at" * 20)

    with pytest.raises(JournalError, match="cannot be read: file is not a database"):
        status(config)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_off(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")


def made_a_folder(path: Path) -> None:
    path.mkdir()


def made_a_pipe(path: Path) -> None:
    os.mkfifo(path)


EMPTY = r"the journal is empty: the run has just begun, or .*; `headrace run` with the same config goes on"
NO_FILE = r"the journal is no file; move away what is there, or name another one \(journal\.path\)"


@pytest.mark.parametrize("asked", [status, hold_files, gather])
@pytest.mark.parametrize("made, said", [(emptied, EMPTY), (cut_off, EMPTY), (made_a_folder, NO_FILE), (made_a_pipe, NO_FILE)])
def test_what_stands_in_the_place_of_a_journal_is_said_with_a_way_out(
    config: Config, asked: Callable[[Config], object], made: Callable[[Path], None], said: str
) -> None:
    made(files_of(config).journal)

    with pytest.raises(JournalError, match=said):
        asked(config)


def test_a_table_that_is_missing_is_damage_and_named(config: Config) -> None:
    begin(config)
    with closing(sqlite3.connect(files_of(config).journal)) as database:
        database.execute("DROP TABLE meta")

    with pytest.raises(JournalError, match=r"its table `meta` is missing; --accept-changes goes on"):
        status(config)


def test_status_for_people_says_how_far_how_long_ago_and_how_to_go_on(config: Config) -> None:
    begin(config)
    other = replace(config, sink=replace(config.sink, shape=type(config.sink.shape)("flat")))

    text = status_text(replace(status(other), rows=1234, rows_expected=1234, fraction=0.0032), "out.jsonl", now=1090.0)

    assert text.splitlines() == [
        "out.jsonl: stopped; `headrace run` goes on",
        "4 of 1,234 rows (0%) are done: 3 succeeded, 1 failed",
        "2 lines are written, 2 more in the journal",
        "1 attempt was cut off and may have been billed",
        "last commit 90 s ago",
        "the config differs: sink.shape: was batch, is flat",
    ]


def test_a_wall_clock_that_went_back_makes_no_commit_of_the_future(config: Config) -> None:
    begin(config)

    assert "last commit 0 s ago" in status_text(status(config), "out.jsonl", now=0.0)


GOING = Going(rows_expected=12_345, in_flight=20, waiting=3, rows_per_second=47.3)


def running_with(config: Config, state: State, *, committed_at: float | None = None) -> Status:
    begin(config, replace(state, committed_at=time.time() if committed_at is None else committed_at))
    with closing(SentMarks.open(files_of(config).marks)):
        return status(config)


def test_a_running_run_shows_percentage_rate_and_time_left(config: Config) -> None:
    found = running_with(config, replace(STATE, succeeded=2999, failed=1, going=GOING))

    assert (found.rows, found.rows_expected, found.fraction) == (None, 12_345, 0.243)
    assert (found.rows_per_second, found.in_flight, found.waiting_to_retry) == (47.3, 20, 3)
    assert found.eta_seconds == pytest.approx((12_345 - 3000) / 47.3, abs=0.1)
    assert status_text(found, "out.jsonl", now=1001.0).splitlines()[:3] == [
        "out.jsonl: running",
        "3,000 of about 12,300 rows (24%) are done: 2,999 succeeded, 1 failed",
        "47.3 rows a second, 20 in flight, 3 wait to be retried, about 3 min 18 s left",
    ]


@pytest.mark.parametrize("left, known", [(24, True), (23, False), (3, False), (0, False)])
def test_no_time_is_told_once_only_rows_in_flight_or_in_back_off_are_left(config: Config, left: int, *, known: bool) -> None:
    found = running_with(config, replace(STATE, succeeded=12_345 - left - 1, failed=1, going=GOING))

    assert (found.eta_seconds is not None) is known
    assert ("left" in status_text(found, "out.jsonl", now=1001.0).splitlines()[2]) is known


def test_a_run_without_an_outcome_for_a_while_has_no_rate_and_no_time_left(config: Config) -> None:
    """A provider that hangs made a rate and an end out of what had been before."""
    state = replace(STATE, succeeded=2999, failed=1, going=replace(GOING, bound="lane_out"))
    found = running_with(config, state, committed_at=time.time() - 61)

    assert (found.rows_per_second, found.eta_seconds, found.in_flight) == (None, None, 20)
    assert "20 in flight, 3 wait to be retried" in status_text(found, "out.jsonl", now=1001.0)


def test_what_holds_a_run_and_each_of_its_lanes_is_shown(config: Config) -> None:
    lanes = (
        LaneWait("eu", "lane_out", 12.0, {"lane_out": 0.4, "requests_per_second": 0.6}, 0.61),
        LaneWait("us", "requests_per_second", None, {"requests_per_second": 1.0}, 0.998),
    )
    going = replace(GOING, bound="requests_per_second", limited_by={"requests_per_second": 1.0}, attained=0.8, lanes=lanes)
    found = running_with(config, replace(STATE, going=going))

    assert (found.bound, found.limited_by, found.attained, found.lanes) == ("requests_per_second", {"requests_per_second": 1.0}, 0.8, lanes)
    assert status_text(found, "out.jsonl", now=1001.0).splitlines()[4:7] == [
        "held by requests_per_second",
        "  eu: out of reach for 12 s",
        "  us: requests_per_second",
    ]


def test_an_estimate_is_never_shown_as_done(config: Config) -> None:
    found = running_with(config, replace(STATE, succeeded=20_000, going=GOING))

    assert found.fraction == 0.99
    assert "20,001 of about 20,001 rows (99%)" in status_text(found, "out.jsonl", now=1001.0)


def test_a_stopped_run_shows_how_much_is_done_and_no_rate(config: Config) -> None:
    begin(config, replace(STATE, succeeded=2999, failed=1, going=GOING))
    found = status(config)

    assert (found.rows_expected, found.fraction) == (12_345, 0.243)
    assert (found.rows_per_second, found.eta_seconds, found.in_flight, found.waiting_to_retry) == (None, None, 0, 0)


def test_the_rate_is_of_late_and_unknown_at_first() -> None:
    rate = RecentRate(100.0, 1000)

    assert rate.note(100.5, 1500) is None
    assert rate.note(110.0, 1000) is None  # nothing came of it yet
    assert rate.note(110.0, 1100) == pytest.approx(10.0)
    later = [rate.note(float(second), 1100 + 50 * (second - 110)) for second in range(111, 400)]
    assert later[-1] == pytest.approx(50.0)
    assert later[0] == pytest.approx((100 + 50) / 11)

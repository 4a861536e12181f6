"""What people ask of a run directory: status, verify, export, report and collect see its parts as one output."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main
from pipeline.cli.texts import status_text
from pipeline.inspect.export import export
from pipeline.inspect.report.gathered import gather
from pipeline.inspect.report.writing import report
from pipeline.inspect.status import status
from pipeline.inspect.verify import verify
from tests.fakes.engines import ROWS, Case

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_status_counts_over_parts_and_journals(case: Case) -> None:
    case.script = {"3": "http_400"}
    case.run(limit=8)

    found = status(case.config())

    assert (found.recorded, found.written, found.succeeded, found.failed, found.rows) == (8, 8, 7, 1, ROWS)
    assert (found.shards, found.shards_done, found.running, found.finished) == (4, 1, False, False)
    assert "1 of 4 shards are whole" in status_text(found, "out.jsonl", 0.0)
    assert found.changes == ("provider.base_url: was http://127.0.0.1:" + f"{case.port}/v1, is http://127.0.0.1:9/v1",)

    case.run()
    assert (status(case.config()).finished, status(case.config()).recorded) == (True, ROWS)


def test_parts_are_verified_like_one_output(case: Case) -> None:
    case.collect = "parts"
    case.run()

    whole = verify(case.config())
    assert (whole.ok, whole.rows, whole.lines) == (True, ROWS, ROWS)

    part = case.directory.part(1)
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(b"".join([*lines[1:], lines[0]]))
    edited = verify(case.config())
    assert not edited.ok
    assert edited.counts == {"out_of_order": 1, "edited": 1}
    assert "shard 1 was edited" in edited.problems[-1]


def test_what_is_missing_of_an_unfinished_run_is_told(case: Case) -> None:
    case.run(limit=8)

    found = verify(case.config())

    assert found.counts == {"missing": ROWS - 8}
    assert found.problems == ("rows 8 to 19 have no line",)


def test_an_edited_output_of_all_parts_is_seen(case: Case) -> None:
    case.run()
    assert verify(case.config()).ok

    (case.folder / "out.jsonl").write_bytes(case.output.replace(b"prompt 7", b"prompt 8"))

    assert verify(case.config()).counts == {"edited": 1}


def test_parts_are_exported_and_reported_like_one_output(case: Case) -> None:
    case.collect = "parts"
    case.script = {"3": "http_400"}
    case.run()

    rows = export(case.config(), str(case.folder / "out.csv"), columns=["prompt"])
    made = report(case.config())

    assert rows == ROWS
    assert (case.folder / "out.csv").read_text().splitlines()[-1].endswith("prompt 19")
    assert made.headline.startswith(f"{ROWS - 1} of {ROWS} rows were answered")
    assert gather(case.config()).failures == {"http_400": 1}
    assert sum(lane.sent for run in gather(case.config()).sessions for bucket in run.buckets for lane in bucket.lanes.values()) == ROWS


def test_parts_are_collected_on_demand(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.collect = "parts"
    case.run()
    config = str(case.folder / "config.yaml")

    assert main(["collect", config, "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["digest"] == sha256(case.output).hexdigest()
    assert case.ids() == [f"c-{at}" for at in range(ROWS)]
    assert verify(case.config()).ok


def test_parts_are_not_collected_before_all_are_whole(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.run(limit=8)

    assert main(["collect", str(case.folder / "config.yaml")]) == 2

    assert "1 of 4 shards are whole" in capsys.readouterr().err

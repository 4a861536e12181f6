"""A bad row without an id is counted as `row-<index>`, and takes that name away from nobody."""

from __future__ import annotations

import json

import pytest

from pipeline.core.rows.ids import MemoryStore
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.records import Failure, Job


def _line(name: str | None) -> bytes:
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {}}).encode()


def _rows(*lines: bytes) -> list[RawRow]:
    return [RawRow(number, 0, line) for number, line in enumerate(lines, 1)]


LINES = [_line("row-0"), b"nonsense", _line("row-1"), b"{}", _line("row-2"), _line("row-3"), _line("row-1")]


def test_a_bad_row_costs_no_good_one_its_id() -> None:
    made = JobMaker(seen=MemoryStore()).make_jobs(_rows(*LINES), 0)

    assert [item.custom_id for item in made] == ["row-0", "row-1", "row-1", "row-3", "row-2", "row-3", "row-1"]
    assert [type(item) for item in made] == [Job, Failure, Job, Failure, Job, Job, Failure]
    assert isinstance(made[6], Failure)
    assert "was used" in made[6].message


@pytest.mark.parametrize("skipped", range(1, len(LINES)))
@pytest.mark.parametrize("by_lines", [False, True], ids=["rows", "lines"])
def test_a_run_that_goes_on_judges_its_rows_as_one_that_was_never_stopped(skipped: int, *, by_lines: bool) -> None:
    whole, going_on = JobMaker(seen=MemoryStore()), JobMaker(seen=MemoryStore())

    if by_lines:
        all_good = skipped == 1  # LINES[1] is bad
        going_on.claim_lines(b"".join(line + b"\n" for line in LINES[:skipped]), 0, skipped, all_good=all_good)
    else:
        going_on.claim(_rows(*LINES)[:skipped], 0)

    expected = whole.make_jobs(_rows(*LINES), 0)[skipped:]
    assert [type(item) for item in going_on.make_jobs(_rows(*LINES)[skipped:], skipped)] == [type(item) for item in expected]


def test_a_good_row_without_an_id_keeps_its_number_to_itself() -> None:
    made = JobMaker(seen=MemoryStore()).make_jobs(_rows(_line(None), _line("row-0")), 0)

    assert [type(item) for item in made] == [Job, Failure]

"""Which lines of an output are taken over when it is rebuilt."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.output.lines import encode_batch
from pipeline.durability.rebuild import _understood
from pipeline.errors import OutputChangedError
from pipeline.records import NO_USAGE, Success

GOOD = encode_batch(Success(0, "a", 200, None, b"{}", NO_USAGE, 1, 0.1))


def test_a_whole_line_that_cannot_be_read_is_named_and_not_passed_over() -> None:
    with pytest.raises(OutputChangedError, match=r"out.jsonl, line 2: this is not a line of results"):
        list(_understood([GOOD, b"{}\n", GOOD], Path("out.jsonl")))


def test_a_last_line_that_was_cut_off_is_passed_over() -> None:
    assert [line for _, line in _understood([GOOD, GOOD[:-5]], Path("out.jsonl"))] == [GOOD]


def test_with_accepted_changes_what_is_no_result_is_passed_over() -> None:
    assert [line for _, line in _understood([GOOD, b"{}\n", GOOD], None)] == [GOOD, GOOD]

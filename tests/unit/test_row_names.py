"""What names a row, and that the fast way of reading names gives the names that the slow one does."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.core.rows.formats import read_request, request_in
from pipeline.core.rows.ids import MemoryStore, run_of
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.names import leading_names
from pipeline.core.rows.templates import RowError, Template
from pipeline.records import Failure, Job


@pytest.mark.parametrize(
    "names, run",
    [
        (["r-7", "r-8", "r-9"], ("r-", 7)),
        (["7"], ("", 7)),
        (["r-7", "r-9"], ("r-", None)),
        (["r-7", "q-8"], ("r-", None)),
        (["r"], ("r", None)),
        (["r-07", "r-08"], ("r-0", 7)),
        (["r-09", "r-10"], ("r-0", None)),
        (["r-00", "r-01"], ("r-0", 0)),
        (["r-" + "1" * 19], ("r-", None)),
    ],
)
def test_run_is_told_by_names_that_count_on_by_one(names: list[str], run: tuple[str, int | None]) -> None:
    assert run_of(names) == run


@pytest.mark.parametrize(
    "text, names",
    [
        (b'{"custom_id": "a", "body": {}}\n{"custom_id":"b"}\n', ["a", "b"]),
        (b'{"body": 1}\n{"body": 2}\n', []),
        (b'{"custom_id": "a"}\n{"body": {}, "custom_id": "b"}\n', None),
        (b'{"custom_id": "a", "x": "custom_id"}\n', None),
        (b'{"\\u0063ustom_id": "a"}\n', None),
        (b'{"recordId": "a"}\n', None),
        (b'{"custom_id": "\xff"}\n', None),
        ('{"custom_id": "\u200e"}\n'.encode(), None),
    ],
)
def test_names_at_the_start_of_lines_are_read_without_decoding_or_not_at_all(text: bytes, names: list[str] | None) -> None:
    assert leading_names(text) == names


@pytest.mark.parametrize("body", ['"params": {"a": 1}', '"modelInput": {"a": 1}'])
def test_line_of_another_format_may_say_its_own_url(body: str) -> None:
    own = read_request(b'{"custom_id": "x", "url": "/v1/own", %b}' % body.encode())

    assert (own.url, own.custom_id, own.body) == ("/v1/own", "x", b'{"a": 1}')


def test_body_in_a_field_goes_to_the_url_that_the_row_says() -> None:
    asked = [request_in(b'{"request": {"a": 1}, "key": "k"%b}' % more, "request") for more in (b', "url": "/v1/own"', b', "url": 7', b"")]

    assert [(one.url, one.custom_id) for one in asked] == [("/v1/own", "k"), (None, "k"), (None, "k")]


TEMPLATE = Template.compile({"x": "{x}"})


@pytest.mark.parametrize("field", [None, "id"])
@pytest.mark.parametrize(
    "value, name",
    [("a", "a"), (7, "7"), (-1, "-1"), (7.0, "7"), (10**22, str(10**22)), (None, "row-0"), ("", "row-0"), (math.nan, "row-0")],
)
def test_id_of_a_row_is_its_text_or_whole_number(value: object, name: str, field: str | None) -> None:
    fields: Any = {field or "custom_id": value, "x": 1}

    (job,) = JobMaker(TEMPLATE, "/v1/x", seen=MemoryStore(), id_field=field).make_jobs([RawRow(0, 0, fields)], 0)

    assert isinstance(job, Job), job
    assert job.custom_id == name


@pytest.mark.parametrize("value", [1.5, True, [1], {"a": 1}, math.inf])
def test_what_can_be_no_id_is_told_and_not_passed_over(value: object) -> None:
    fields: Any = {"id": value, "x": 1}

    (made,) = JobMaker(TEMPLATE, "/v1/x", seen=MemoryStore(), id_field="id").make_jobs([RawRow(0, 0, fields)], 0)

    assert isinstance(made, Failure)
    assert made.message == f"row 0: id must be text or a whole number, got {value!r}"


@pytest.mark.parametrize(
    "line, message",
    [
        (
            b'{"custom_id": 1.5, "url": "/v1/x", "body": {}}',
            "custom_id must be text or a whole number (Expected",
        ),
        (b'{"custom_id": true, "params": {}}', "custom_id must be text or a whole number"),
        (b'{"key": [1], "params": {}}', "key must be text or a whole number, got [1]"),
    ],
)
def test_what_can_be_no_id_of_a_batch_line_is_told_so(line: bytes, message: str) -> None:
    (made,) = JobMaker(seen=MemoryStore()).make_jobs([RawRow(1, 0, line)], 0)

    assert isinstance(made, Failure)
    assert made.message.startswith(f"line 1: {message}")


@pytest.mark.parametrize("x, other, good", [("1", "1e400", True), ("1e400", "1", False), ("[1e400]", "1", False), ("1", "-1e999", True)])
def test_number_out_of_range_harms_only_whoever_asks_for_it(x: str, other: str, *, good: bool) -> None:
    line = f'{{"custom_id": "a", "other": {other}, "x": {x}}}'.encode()

    (made,) = JobMaker(TEMPLATE, "/v1/x", seen=MemoryStore()).make_jobs([RawRow(1, 0, line)], 0)

    assert isinstance(made, Job) is good
    assert made.custom_id == "a"
    if isinstance(made, Failure):
        assert made.message == "line 1: field 'x' holds a number that is out of range"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_number_that_is_no_json_is_named(text: str) -> None:
    (made,) = JobMaker(TEMPLATE, "/v1/x", seen=MemoryStore()).make_jobs([RawRow(1, 0, f'{{"x": 1, "y": {text}}}'.encode())], 0)

    assert isinstance(made, Failure)
    assert made.message.endswith(f"; it holds {text}, for which JSON has null")


def test_body_that_is_a_text_but_no_json_is_told_so() -> None:
    with pytest.raises(RowError, match=r"field 'request' \(request.body_field\) is a text that is not JSON"):
        request_in(b'{"request": "{x"}', "request")

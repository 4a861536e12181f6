"""What a line of a batch's file must be: every problem with its code, param and line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.batches.lines import MOST_ERRORS, Findings, LineCheck
from pipeline.core.batches.records import LineError
from pipeline.core.rows.lines import RawRow

GOOD = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}


def problems(line: object, endpoint: str = "/v1/chat/completions") -> list[tuple[str, str | None]]:
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    _, errors = LineCheck(endpoint).check(RawRow(3, 0, data))
    assert all(error.line == 3 for error in errors)
    return [(error.code, error.param) for error in errors]


def test_a_good_line_has_no_problem_and_gives_its_id_and_model() -> None:
    check = LineCheck("/v1/chat/completions")

    assert check.check(RawRow(1, 0, json.dumps(GOOD).encode())) == ("a", [])
    assert check.model == "m"


@pytest.mark.parametrize("name", ["custom_id", "method", "url", "body"])
def test_a_missing_field_is_named(name: str) -> None:
    assert problems({key: value for key, value in GOOD.items() if key != name}) == [("missing_required_parameter", name)]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"custom_id": 7}, [("invalid_type", "custom_id")]),
        ({"custom_id": ""}, [("missing_required_parameter", "custom_id")]),
        ({"method": "GET"}, [("invalid_method", "method")]),
        ({"url": "/v1/embeddings"}, [("invalid_url", "url")]),
        ({"body": []}, [("invalid_type", "body")]),
        ({"body": {"messages": []}}, [("invalid_request", "body.model")]),
        ({"body": {"model": "m"}}, [("invalid_request", "body.messages")]),
        ({"body": {"model": "m", "messages": [], "stream": True}}, [("streaming_unsupported", "body.stream")]),
        ({"body": {"model": "m", "messages": [], "stream": False}}, []),
        ({"custom_id": None, "url": "x"}, [("missing_required_parameter", "custom_id"), ("invalid_url", "url")]),
    ],
)
def test_every_problem_of_a_line_is_told(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert problems({**GOOD, **changes}) == expected


@pytest.mark.parametrize("data", [b"{", b"7", b"[]", b'{"custom_id": "\xff"}', b"[" * 100_000, b'{"body": {"model": 1e999999999999}}{'])
def test_a_line_that_is_no_json_object_is_told(data: bytes) -> None:
    assert problems(data) == [("invalid_json_line", None)]


def test_embeddings_and_moderations_have_other_needs() -> None:
    embedding = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}}
    moderation = {"custom_id": "a", "method": "POST", "url": "/v1/moderations", "body": {"input": "x"}}

    assert problems(embedding, "/v1/embeddings") == []
    assert problems(moderation, "/v1/moderations") == []
    assert problems({**embedding, "body": {"model": "m"}}, "/v1/embeddings") == [("invalid_request", "body.input")]


def test_a_line_that_the_source_could_not_read_is_told() -> None:
    _, errors = LineCheck("/v1/embeddings").check(RawRow(9, 0, None, "is longer than 64 bytes"))

    assert errors == [LineError("invalid_json_line", "This line is longer than 64 bytes.", None, 9)]


def test_at_most_a_hundred_problems_are_told_and_then_how_many_more() -> None:
    findings = Findings()
    findings.add([LineError("x", "y", None, line) for line in range(MOST_ERRORS + 30)])

    told = findings.errors(500)

    assert len(told) == MOST_ERRORS + 1
    assert told[-1] == LineError("too_many_errors", "30 more problems were found in this file.")


def test_a_file_without_rows_is_told() -> None:
    assert [error.code for error in Findings().errors(0)] == ["empty_file"]
    assert Findings().errors(1) == []

"""The output lines, shape by shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.core.output.read_lines import read_output_id
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success

CHAT = (
    b'{"id": "c", "choices": [{"message": {"content": "hi \\u2028"}}, {"message": {"content": "no"}}], '
    b'"usage": {"total_tokens": 3, "x": null}}'
)
FLAT_KEYS = [
    *("index", "custom_id", "status", "content", "finish_reason", "usage", "status_code", "error", "attempts", "latency_seconds"),
    *("first_token_seconds", "lane", "response"),
]


def success(body: bytes = CHAT, request_id: str | None = "req_1") -> Success:
    return Success(17, "a", 200, request_id, body, NO_USAGE, 2, 0.12345678)


def failure(kind: FailureKind, status: int | None = None, body: bytes | None = None) -> Failure:
    return Failure(17, "a", kind, "what happened", status, None, body, 3, 1.5)


def batch(outcome: Outcome) -> Any:
    line = encode_batch(outcome)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return json.loads(line)


def flat(outcome: Outcome) -> Any:
    line = encode_flat(outcome)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    value = json.loads(line)
    assert list(value) == FLAT_KEYS
    return value


def test_batch_success_is_the_openai_line_with_the_body_as_it_came() -> None:
    assert batch(success()) == {
        "id": "batch_req_000000000011",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "req_1", "body": json.loads(CHAT)},
        "error": None,
    }
    assert CHAT in encode_batch(success())
    assert batch(success(request_id=None))["response"]["request_id"] is None


@pytest.mark.parametrize("kind", [FailureKind.HTTP, FailureKind.REFUSED, FailureKind.QUOTA])
def test_batch_http_failure_keeps_the_response_that_says_why(kind: FailureKind) -> None:
    line = batch(failure(kind, 400, b'{"error": {"code": "bad"}}'))

    assert line["response"] == {"status_code": 400, "request_id": None, "body": {"error": {"code": "bad"}}}
    assert line["error"] is None


def test_batch_exhausted_retries_fill_both() -> None:
    line = batch(failure(FailureKind.RETRIES_EXHAUSTED, 503, b'"busy"'))

    assert line["response"] == {"status_code": 503, "request_id": None, "body": {"error": {"message": "busy", "type": "not_json"}}}
    assert line["error"] == {"code": "retries_exhausted", "message": "what happened"}


@pytest.mark.parametrize("kind", FailureKind)
def test_batch_failure_without_response_says_why_itself(kind: FailureKind) -> None:
    line = batch(failure(kind))

    assert line["response"] is None
    assert line["error"] == {"code": kind.value, "message": "what happened"}


def test_batch_failure_under_a_success_status_is_still_an_error() -> None:
    assert batch(failure(FailureKind.MALFORMED_RESPONSE, 200, b'{"a": 1}'))["error"]["code"] == "malformed_response"


def test_flat_success_has_content_and_usage() -> None:
    assert flat(success()) == {
        "index": 17,
        "custom_id": "a",
        "status": "success",
        "content": ["hi \u2028", "no"],
        "finish_reason": None,
        "usage": {"total_tokens": 3, "x": None},
        "status_code": 200,
        "error": None,
        "attempts": 2,
        "latency_seconds": 0.123457,
        "first_token_seconds": None,
        "lane": None,
        "response": None,
    }


def test_a_flat_line_holds_the_whole_answer_where_content_does_not_say_all() -> None:
    body = {"choices": [{"message": {"content": "hi", "reasoning_content": "because"}, "finish_reason": "stop"}]}

    line = flat(success(json.dumps(body).encode()))

    assert (line["content"], line["finish_reason"], line["response"]) == ("hi", "stop", body)


def test_a_flat_line_keeps_an_answer_that_was_rejected() -> None:
    line = flat(failure(FailureKind.MALFORMED_RESPONSE, 200, b'{"choices": null}'))

    assert (line["status"], line["content"], line["response"]) == ("error", None, {"choices": None})


@pytest.mark.parametrize(
    "body, wrapped",
    [
        (b'"<html>busy</html>"', {"error": {"message": "<html>busy</html>", "type": "not_json"}}),
        (b"12", {"error": {"message": "12", "type": "not_json"}}),
        (b"null", {"error": {"message": "null", "type": "not_json"}}),
        (b'[{"error": {"code": 429}}]', {"error": {"code": 429}}),
        (b"[1, 2]", {"data": [1, 2]}),
        (b'{"a": 1}', {"a": 1}),
    ],
)
def test_the_body_of_a_batch_line_is_always_an_object(body: bytes, wrapped: Any) -> None:
    line = batch(failure(FailureKind.HTTP, 502, body))

    assert line["response"]["body"] == wrapped


@pytest.mark.parametrize(
    "body, error",
    [
        ({"error": {"code": "bad", "type": "t", "message": "why"}}, {"code": "bad", "message": "why"}),
        ({"error": {"code": None, "type": "t", "message": "why"}}, {"code": "t", "message": "why"}),
        ({"error": {"code": 1234}}, {"code": "1234", "message": "what happened"}),
        ({"error": "why"}, {"code": "http_404", "message": "why"}),
        ({"detail": "why"}, {"code": "http_404", "message": "why"}),
        ({"error": [1]}, {"code": "http_404", "message": "what happened"}),
        ({"error": {}}, {"code": "http_404", "message": "what happened"}),
        ("why", {"code": "http_404", "message": "why"}),
        ([], {"code": "http_404", "message": "what happened"}),
    ],
)
def test_flat_http_failure_takes_code_and_message_from_the_body(body: Any, error: Any) -> None:
    line = flat(failure(FailureKind.HTTP, 404, json.dumps(body).encode()))

    assert line["error"] == error
    assert (line["status"], line["content"], line["usage"], line["status_code"]) == ("error", None, None, 404)


@pytest.mark.parametrize(
    "outcome, error",
    [
        (failure(FailureKind.TIMEOUT), {"code": "timeout", "message": "what happened"}),
        (
            failure(FailureKind.RETRIES_EXHAUSTED, 503, b'{"error": {"code": "busy"}}'),
            {"code": "retries_exhausted", "message": "what happened"},
        ),
        (failure(FailureKind.MALFORMED_RESPONSE, 200, b"{}"), {"code": "malformed_response", "message": "what happened"}),
    ],
)
def test_flat_failure_of_our_own_has_our_code(outcome: Failure, error: Any) -> None:
    assert flat(outcome)["error"] == error


@pytest.mark.parametrize("encode", [encode_batch, encode_flat])
def test_a_message_that_quotes_no_text_is_still_written(encode: Any) -> None:
    line = encode(Failure(0, "a", FailureKind.CONNECTION, "got \udcff\n\u2028"))

    assert json.loads(line)["error"]["message"] == "got ?\n\u2028"


@pytest.mark.parametrize("encode", [encode_batch, encode_flat])
@pytest.mark.parametrize(
    "outcome", [success(), failure(FailureKind.TIMEOUT), failure(FailureKind.HTTP, 400, b"{}")], ids=["success", "timeout", "http"]
)
def test_the_id_of_an_output_line_is_read_back(encode: Any, outcome: Outcome) -> None:
    line = encode(outcome)

    assert read_output_id(line) == "a"
    assert read_output_id(line.rstrip()) == "a"
    assert all(read_output_id(line[:cut]) is None for cut in range(len(line) - 1))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b'{"custom_id":"a"}',
        b'{"custom_id":"a","body":{},"url":"/v1/x"}',
        b'{"custom_id":1,"id":"x","error":null}',
        b'{"custom_id":"a","id":"\xff","error":null}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_output_line_has_no_id(line: bytes) -> None:
    assert read_output_id(line) is None

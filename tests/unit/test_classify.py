"""What an HTTP response means for its row."""

from __future__ import annotations

import json

import pytest

from pipeline.core.answers.classify import MAX_TEXT, Result, Trouble, classify, classify_fault, one_line
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Usage

NOW = 1_790_000_000.0


def read(status: int, body: bytes | dict[str, object] | list[object] | str, *headers: tuple[bytes, bytes]) -> Result | Trouble:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(Answer(status, list(headers), raw), now_utc=NOW)


def trouble(status: int, body: bytes | dict[str, object] | str, *headers: tuple[bytes, bytes]) -> Trouble:
    meaning = read(status, body, *headers)
    assert isinstance(meaning, Trouble)
    return meaning


def error(**fields: object) -> dict[str, object]:
    return {"error": fields}


def test_a_chat_completion_is_a_result_with_its_usage() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 0}}
    meaning = read(200, {"choices": [{"message": {"content": "hi\u2028there"}}], "usage": usage})

    assert isinstance(meaning, Result)
    assert meaning.usage == Usage(7, 5, 12)


@pytest.mark.parametrize(
    "usage, counted",
    [
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4, 7)),
        ({"prompt_tokens": None, "total_tokens": None}, Usage(0, 0, 0)),
        (None, Usage(0, 0, 0)),
        ("plenty", Usage(0, 0, 0)),
        ({"prompt_tokens": 1.5}, Usage(0, 0, 0)),
    ],
)
def test_usage_of_any_shape_is_no_reason_to_refuse_an_answer(usage: object, counted: Usage) -> None:
    meaning = read(200, {"choices": [], "usage": usage})

    assert isinstance(meaning, Result)
    assert meaning.usage == counted


def test_a_pretty_printed_body_comes_out_on_one_line_and_means_the_same() -> None:
    value = {"choices": [{"message": {"content": "a\nb"}}], "error": None}
    meaning = read(200, json.dumps(value, indent=2).replace("\n", "\r\n").encode())

    assert isinstance(meaning, Result)
    assert b"\n" not in meaning.body
    assert b"\r" not in meaning.body
    assert json.loads(meaning.body) == value


def test_a_byte_order_mark_is_left_out() -> None:
    meaning = read(200, b'\xef\xbb\xbf{"choices": []}')

    assert isinstance(meaning, Result)
    assert meaning.body == b'{"choices": []}'


@pytest.mark.parametrize(
    "body", [b"", b"<html>busy</html>", b'{"choices": [{"mess', b'{"a": "\xff"}', b"null", b'"yes"', b"12", b"{} {}", b"[" * 5000]
)
def test_a_success_whose_body_is_no_json_object_is_malformed_and_worth_another_try(body: bytes) -> None:
    meaning = trouble(200, body)

    assert meaning.kind is FailureKind.MALFORMED_RESPONSE
    assert meaning.retryable
    assert meaning.body is None


@pytest.mark.parametrize("value", [None, False, {}, "", []])
def test_an_empty_error_beside_a_result_is_no_error(value: object) -> None:
    assert isinstance(read(200, {"choices": [], "error": value}), Result)


@pytest.mark.parametrize(
    "fields, retryable, throttled",
    [
        ({"message": "upstream died"}, True, False),
        ({"code": "rate_limit", "message": "slow down"}, True, True),
        ({"code": 429}, True, True),
        ({"code": "500"}, True, False),
        ({"code": 400}, False, False),
        ({"type": "invalid_request_error"}, False, False),
    ],
)
def test_an_error_under_a_success_status_is_judged_by_its_code_and_never_a_result(
    fields: dict[str, object], *, retryable: bool, throttled: bool
) -> None:
    meaning = trouble(200, {"error": fields})

    assert meaning.kind is FailureKind.MALFORMED_RESPONSE
    assert meaning.retryable is retryable
    assert meaning.throttled is throttled
    assert meaning.status_code is None


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 520, 529, 599])
def test_a_transient_status_is_worth_another_try(status: int) -> None:
    assert trouble(status, error(message="later")).retryable


@pytest.mark.parametrize("status", [300, 301, 304, 307, 400, 404, 405, 410, 413, 415, 422, 431, 451])
def test_any_other_failure_is_the_rows_last_word(status: int) -> None:
    meaning = trouble(status, error(message="no"))

    assert not meaning.retryable
    assert meaning.kind is FailureKind.HTTP
    assert meaning.status_code == status


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_is_for_the_gate_to_judge(status: int) -> None:
    assert trouble(status, error(message="bad key")).kind is FailureKind.REFUSED


@pytest.mark.parametrize(
    "fields",
    [
        {"code": "insufficient_quota"},
        {"type": "insufficient_quota", "code": None},
        {"code": "credit_balance_exhausted"},
        {"code": "organization_spend_limit_exceeded"},
        {"code": "project_spend_limit_exceeded"},
        {"code": "organization_usage_limit_exceeded"},
    ],
)
@pytest.mark.parametrize("status", [200, 402, 403, 429])
def test_an_exhausted_quota_is_never_transient(status: int, fields: dict[str, object]) -> None:
    meaning = trouble(status, {"error": {**fields, "message": "pay"}}, (b"retry-after", b"1"), (b"x-should-retry", b"true"))

    assert meaning.kind is FailureKind.QUOTA
    assert not meaning.retryable


def test_what_the_provider_says_of_a_retry_wins_over_the_status() -> None:
    assert not trouble(500, error(message="no"), (b"x-should-retry", b"false")).retryable
    assert trouble(400, error(message="odd"), (b"x-should-retry", b"true")).retryable
    refused_once = trouble(401, error(message="odd"), (b"x-should-retry", b"true"))
    assert refused_once.retryable
    assert refused_once.kind is FailureKind.HTTP


def test_a_relays_500_with_a_rate_limit_code_throttles() -> None:
    meaning = trouble(
        500, error(code="rate_limit", message="Rate limit exceeded. Retry-After: 2.5 seconds. Current: 120/min, Limit: 100/min")
    )

    assert meaning.retryable
    assert meaning.throttled
    assert meaning.wait_seconds == 2.5


def test_a_wait_in_a_header_is_kept_with_its_fraction() -> None:
    assert trouble(429, error(message="slow"), (b"retry-after", b"1.25")).wait_seconds == 1.25


@pytest.mark.parametrize(
    "body, text",
    [
        ({"error": "Unauthorized"}, "Unauthorized"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"message": "nope", "code": 404}, "nope"),
        ({"error": {"message": "deep"}}, "deep"),
        ("just text", "just text"),
    ],
)
def test_error_bodies_of_every_provider_give_their_message(body: dict[str, object] | str, text: str) -> None:
    assert text in trouble(404, body).message


@pytest.mark.parametrize(
    "body",
    [b"<html><h1>502 Bad Gateway</h1></html>", b"", b"\xff\xfe\x00", b'{"error": 7}', b"[1]", b'{"error": {"message": 3, "code": [1]}}'],
)
def test_a_failure_of_any_body_is_kept_as_json_on_one_line(body: bytes) -> None:
    meaning = trouble(502, body)

    assert meaning.body is not None
    json.loads(meaning.body)
    assert b"\n" not in meaning.body


def test_a_huge_failure_body_that_is_no_json_is_cut() -> None:
    meaning = trouble(502, b"x" * (3 * MAX_TEXT))

    assert meaning.body is not None
    assert len(meaning.body) <= MAX_TEXT + 2


def test_a_fault_is_worth_another_try_unless_it_is_permanent() -> None:
    assert classify_fault(Fault(FailureKind.CONNECTION, "reset", maybe_sent=True, cause=FaultCause.CLOSED)).retryable
    bad_certificate = Fault(FailureKind.CONNECTION, "bad certificate", maybe_sent=False, cause=FaultCause.TLS, permanent=True)
    assert not classify_fault(bad_certificate).retryable


def test_one_line_keeps_what_a_json_text_means() -> None:
    text = b'{\n  "a": [1,\r\n 2]\n}'

    assert json.loads(one_line(text) or b"null") == {"a": [1, 2]}
    assert one_line(b"{") is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_says_where_to_and_what_to_do(status: int) -> None:
    trouble = classify(Answer(status, [(b"location", b"https://elsewhere.example/v1\xff")], b""), now_utc=0.0)

    assert isinstance(trouble, Trouble)
    assert trouble.message.startswith(f"HTTP {status} to 'https://elsewhere.example/v1")
    assert "provider.base_url" in trouble.message
    assert not trouble.retryable

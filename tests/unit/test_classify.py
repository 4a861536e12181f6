"""What an HTTP response means for its row."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from pipeline.core.answers.classify import LARGE_BYTES, Result, Trouble, classify, classify_fault, is_large
from pipeline.core.answers.trouble import MAX_TEXT
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Usage

NOW = 1_790_000_000.0


HI = [{"message": {"content": "hi"}}]


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
        ({"prompt_tokens": 1.5}, Usage(1, 0, 1)),
    ],
)
def test_usage_of_any_shape_is_no_reason_to_refuse_an_answer(usage: object, counted: Usage) -> None:
    meaning = read(200, {"choices": HI, "usage": usage})

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
    meaning = read(200, b'\xef\xbb\xbf{"choices": [{"text": "hi"}]}')

    assert isinstance(meaning, Result)
    assert meaning.body == b'{"choices": [{"text": "hi"}]}'


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b'{"choices": [{"mess', b"null", b'"yes"', b"12", b"{} {}", b"[" * 5000])
def test_a_success_whose_body_is_no_json_object_is_malformed_and_worth_another_try(body: bytes) -> None:
    meaning = trouble(200, body)

    assert meaning.kind is FailureKind.MALFORMED_RESPONSE
    assert meaning.retryable
    assert meaning.bought
    assert meaning.status_code == 200
    json.loads(meaning.body or b"")


@pytest.mark.parametrize("value", [None, False, {}, "", []])
def test_an_empty_error_beside_a_result_is_no_error(value: object) -> None:
    assert isinstance(read(200, {"choices": HI, "error": value}), Result)


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
    assert json.loads(meaning.body or b"") == {"error": fields}


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


NO_ANSWERS: list[tuple[str, object, str]] = [
    ("/v1/chat/completions", {"choices": None}, "choices: null"),
    ("/v1/chat/completions", {"choices": []}, "no choices"),
    ("/v1/chat/completions", {}, "nothing that its endpoint promises"),
    ("/v1/chat/completions", {"id": "x", "object": "chat.completion"}, "nothing that its endpoint promises"),
    ("/v1/chat/completions", {"choices": [None]}, "no choices"),
    ("/v1/chat/completions", {"choices": [{"index": 0}]}, "hold no answer"),
    ("/v1/chat/completions", {"choices": [{"message": None, "finish_reason": "stop"}]}, "hold no answer"),
    ("/v1/completions", {"choices": [{"text": None}]}, "hold no answer"),
    ("/v1/responses", {"output": None, "status": "completed"}, "no output"),
    ("/v1/embeddings", {"data": []}, "data without any value"),
    ("/v1/embeddings", {"data": None}, "nothing that its endpoint promises"),
    ("/embed", [], "an empty list"),
    ("/v1beta/models/g:generateContent", {"candidates": []}, "no candidates"),
    ("/v1beta/models/g:generateContent", {"candidates": [{"index": 0}]}, "hold no answer"),
    ("/v1beta/models/g:embedContent", {"embedding": {}}, "an empty embedding"),
    ("/v1/messages", {"content": [], "stop_reason": None}, "no content"),
    ("/api/chat", {"message": {"role": "assistant"}, "done": False}, "ended too early"),
]


@pytest.mark.parametrize("url, body, why", NO_ANSWERS)
def test_a_success_without_what_its_endpoint_promises_is_malformed_and_its_body_is_kept(url: str, body: object, why: str) -> None:
    meaning = classify(Answer(200, [], json.dumps(body).encode()), now_utc=NOW, url=url)

    assert isinstance(meaning, Trouble)
    assert meaning.kind is FailureKind.MALFORMED_RESPONSE
    assert why in meaning.message
    assert meaning.bought
    assert json.loads(meaning.body or b"") == body


@pytest.mark.parametrize(
    "body, scope, retryable",
    [
        ({"choices": [{"finish_reason": "error", "error": {"code": 502, "message": "up"}, "message": {"content": ""}}]}, "server", True),
        ({"choices": [{"finish_reason": "error", "error": {"code": 429, "message": "slow"}, "message": {}}]}, "throttle", True),
        ({"choices": [{"error": {"code": 400, "message": "bad"}, "message": {}}]}, "row", False),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "throttle", True),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "quota", False),
        ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, "throttle", True),
        ({"error_code": 17, "error_msg": "Open api daily request limit reached"}, "quota", False),
        ({"object": "error", "message": "does not exist", "code": 404}, "setup", False),
        ({"success": False, "errors": [{"code": 7003, "message": "No route"}]}, "server", True),
        ({"code": 500, "msg": "upstream busy"}, "server", True),
        ([{"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}}], "throttle", True),
    ],
)
def test_an_error_in_any_place_of_a_success_is_judged_by_its_own_code(body: object, scope: str, *, retryable: bool) -> None:
    meaning = classify(Answer(200, [], json.dumps(body).encode()), now_utc=NOW, url="/v1/chat/completions")

    assert isinstance(meaning, Trouble)
    assert (meaning.scope.value, meaning.retryable) == (scope, retryable)
    assert not meaning.bought


def response(**fields: object) -> dict[str, object]:
    return {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": [],
        "usage": {"input_tokens": 5, "output_tokens": 2},
        **fields,
    }


@pytest.mark.parametrize(
    "fields, retryable",
    [
        ({"status": "failed", "error": {"code": "invalid_prompt", "message": "flagged"}}, False),
        ({"status": "failed", "error": {"code": "image_content_policy_violation", "message": "no"}}, False),
        ({"status": "failed", "error": {"code": "server_error", "message": "oops"}}, True),
        ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, True),
        ({"status": "failed", "error": None}, True),
        ({"status": "cancelled"}, True),
        ({"status": "queued"}, False),
        ({"status": "in_progress"}, False),
    ],
)
def test_a_response_that_is_not_complete_is_no_result_and_its_tokens_are_counted(fields: dict[str, object], *, retryable: bool) -> None:
    meaning = trouble(200, response(**fields))

    assert meaning.retryable is retryable
    assert meaning.usage == Usage(5, 2, 7)


def test_an_incomplete_response_is_a_result_that_was_cut() -> None:
    meaning = read(200, response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}))

    assert isinstance(meaning, Result)
    assert meaning.finish_reason == "length"


def test_one_choice_in_error_among_several_costs_only_itself() -> None:
    meaning = read(200, {"choices": [{"message": {"content": "good"}}, {"error": {"code": 502}, "message": {}}, None]})

    assert isinstance(meaning, Result)


def test_a_reply_of_an_unknown_endpoint_is_a_result_unless_it_says_that_it_is_an_error() -> None:
    assert isinstance(classify(Answer(200, [], b'{"anything": 1}'), now_utc=NOW, url="/my/endpoint"), Result)
    assert isinstance(classify(Answer(200, [], b'{"object": "error", "message": "no"}'), now_utc=NOW, url="/my/endpoint"), Trouble)


@pytest.mark.parametrize(
    "reason, word",
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"), ("tool_calls", "tool_calls"), (None, None), ("", None)],
)
def test_a_result_says_why_it_ended(reason: str | None, word: str | None) -> None:
    meaning = read(200, {"choices": [{"message": {"content": "hi"}, "finish_reason": reason}]})

    assert isinstance(meaning, Result)
    assert meaning.finish_reason == word


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_says_where_to_and_what_to_do(status: int) -> None:
    trouble = classify(Answer(status, [(b"location", b"https://elsewhere.example/v1\xff")], b""), now_utc=0.0)

    assert isinstance(trouble, Trouble)
    assert trouble.message.startswith(f"HTTP {status} to 'https://elsewhere.example/v1")
    assert "provider.base_url" in trouble.message
    assert not trouble.retryable


@pytest.mark.parametrize(
    "body, large",
    [
        (b'{"a": "%s"}' % (b"x" * 200_000), False),
        (b'{"a": "%s"}' % (b"x" * LARGE_BYTES), True),
        (b"data: {}\n\n" * 30_000, True),
        (b"[1]", False),
    ],
    ids=["object", "large object", "stream", "list"],
)
def test_an_answer_that_takes_long_to_read_is_read_elsewhere(body: bytes, *, large: bool) -> None:
    assert is_large(Answer(200, [], body)) is large


@pytest.mark.parametrize("around", [b"[%s]", b'{"data": [%s]}', b'{"results": [%s]}'])
@pytest.mark.parametrize("element", [b"{}", b"[]", b"1"])
def test_memory_is_bounded_whatever_is_in_a_list(around: bytes, element: bytes) -> None:
    body = around % b",".join([element] * 300_000)
    tracemalloc.start()
    try:
        classify(Answer(200, [], body), now_utc=NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 5 * len(body), "a list of empty objects takes 24 times its bytes once each of them is built"


def test_a_list_of_very_many_values_is_still_an_answer() -> None:
    many = b"[%s]" % b",".join([b'{"embedding": [1]}'] * 100_001)

    result = classify(Answer(200, [], b'{"data": %s}' % many), now_utc=NOW)

    assert isinstance(result, Result)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "around",
    [
        b'{"error": {"code": "told", "message": "x"}, "d": [%s]}',
        b'{"error": {"code": "told", "message": "x", "d": [%s]}}',
        b'{"error": {"code": "told", "message": "x"}, "d": {"k": [%s]}}',
    ],
)
def test_an_error_is_found_beside_a_large_part_that_is_not_built(around: bytes, status: int) -> None:
    body = around % b",".join([b'{"%d":1}' % number for number in range(90_000)])
    tracemalloc.start()
    try:
        trouble = classify(Answer(status, [], body), now_utc=NOW)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(trouble, Trouble)
    assert trouble.message.endswith(": x")
    assert peak < 6 * len(body)

"""Whom a failure concerns, in the words of each provider."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.classify import Trouble, classify, classify_fault
from pipeline.core.answers.error_bodies import is_empty_error, read_error
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Scope

CREDIT = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."


def trouble(status: int, body: Any, **headers: str) -> Trouble:
    told = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    meaning = classify(Answer(status, told, json.dumps(body).encode()), now_utc=1_790_000_000.0)
    assert isinstance(meaning, Trouble)
    return meaning


def google(code: int, message: str, status: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


PER_DAY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.837906927s"}


@pytest.mark.parametrize(
    "status, body",
    [
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}),
        (429, {"error": {"type": "insufficient_quota", "code": None}}),
        (429, {"error": {"message": "suspended", "type": "exceeded_current_quota_error"}}),
        (403, {"error": {"message": "用户额度不足", "type": "new_api_error", "code": "insufficient_user_quota"}}),
        (500, {"error": {"message": "no quota", "code": "insufficient_user_quota"}}),
        (429, {"error": {"code": "1113", "message": "您的账户已欠费,请充值后重试。"}}),
        (429, {"error": {"code": "billing_not_active", "message": "Your account is not active"}}),
        (400, {"error": {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached"}}),
        (
            429,
            {
                "code": "Some resource has been exhausted",
                "error": "Your team has either used all available credits or reached its monthly spending limit.",
            },
        ),
        (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing.", "request_id": "r"}),
        (400, {"type": "error", "error": {"type": "invalid_request_error", "message": CREDIT}, "request_id": "req_x"}),
        (
            429,
            {
                "type": "error",
                "error": {"type": "rate_limit_error", "message": "spend", "details": {"error_code": "enforced_spend_limit_reached"}},
            },
        ),
        (
            400,
            {"type": "error", "error": {"type": "invalid_request_error", "message": "You have reached your specified API usage limits."}},
        ),
        (429, google(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", PER_DAY, RETRY_INFO)),
        (429, [google(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", PER_DAY)]),
        (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}, "choices": None, "error": {"code": "1113"}}),
        (403, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
    ],
)
def test_an_account_with_nothing_left_is_told_from_a_rate_limit(status: int, body: Any) -> None:
    meaning = trouble(status, body)

    assert meaning.scope is Scope.QUOTA
    assert meaning.kind is FailureKind.QUOTA
    assert not meaning.retryable


@pytest.mark.parametrize(
    "status, body",
    [
        (429, {"error": {"message": "slow down"}}),
        (429, google(429, "You exceeded your current quota. Please retry in 3.2s.", "RESOURCE_EXHAUSTED", RETRY_INFO)),
        (429, google(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED")),
        (400, {"message": "Too many tokens, please wait before trying again.", "__type": "ThrottlingException"}),
        (
            400,
            {"error": {"message": 'litellm.BadRequestError: BedrockException - {"message":"ThrottlingException: wait"}', "code": "400"}},
        ),
        (403, {"error": {"code": "rate_limit_exceeded", "message": "too fast"}}),
        (403, {"message": "API rate limit exceeded for user."}),
        (429, {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded, please try again later."}),
        (500, {"error": {"code": "rate_limit", "message": "slow"}}),
        (200, {"error": {"code": "rate_limit_exceeded", "message": "slow"}}),
        (200, {"error": {"code": 429, "message": "slow"}}),
        (429, {"error": {"message": "You exceeded your current quota, try again in 30m0s"}}),
    ],
)
def test_throttling_under_any_status_is_tried_again_and_slows_everybody(status: int, body: Any) -> None:
    meaning = trouble(status, body)

    assert meaning.scope is Scope.THROTTLE
    assert meaning.retryable
    assert meaning.throttled
    assert meaning.rate_limited


def test_throttling_is_told_by_amazons_header_too() -> None:
    answer = trouble(400, {"message": "wait"}, x_amzn_errortype="ThrottlingException:http://internal.amazon.com/coral/")

    assert answer.scope is Scope.THROTTLE


@pytest.mark.parametrize(
    "body, headers",
    [
        ({"error": {"message": "Limit type: max_parallel_requests. Current limit: 5", "code": "429"}}, {"retry-after": "60"}),
        ({"error": {"message": "limited", "rate_limit_type": "max_parallel_requests"}}, {}),
        ({"error": {"message": "limited"}}, {"rate_limit_type": "max_parallel_requests"}),
        ({"error": {"message": "request reached max organization concurrency: 3", "type": "rate_limit_reached_error"}}, {}),
        ({"error": {"message": "您当前使用该API的并发数过高", "code": "1302"}}, {}),
    ],
)
def test_too_many_in_parallel_lowers_concurrency_and_pauses_nobody(body: Any, headers: dict[str, str]) -> None:
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    meaning = classify(Answer(429, told, json.dumps(body).encode()), now_utc=0.0)

    assert isinstance(meaning, Trouble)
    assert meaning.scope is Scope.PARALLEL
    assert meaning.retryable
    assert not meaning.throttled
    assert meaning.wait_seconds is None


@pytest.mark.parametrize(
    "status, body",
    [
        (401, {"error": {"message": "bad key"}}),
        (403, {"error": {"message": "no access"}}),
        (402, {"error": {"message": "You requested up to 65536 tokens, but can only afford 8000.", "code": 402}}),
        (400, google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", BAD_KEY)),
        (400, [google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT", BAD_KEY)]),
        (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***."}),
        (200, {"error": {"code": "invalid_api_key", "message": "bad key"}}),
    ],
)
def test_a_bad_key_is_told_in_any_status(status: int, body: Any) -> None:
    meaning = trouble(status, body)

    assert meaning.scope is Scope.KEY
    assert meaning.kind is FailureKind.REFUSED


@pytest.mark.parametrize(
    "status, body",
    [
        (404, {"error": {"message": "The model `m` does not exist or you do not have access to it.", "code": "model_not_found"}}),
        (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}),
        (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}),
        (404, {"detail": "Not Found"}),
        (400, {"error": {"message": "invalid model ID", "code": "invalid_model"}}),
        (400, {"error": {"message": "The model `m` does not exist"}}),
        (422, {"error": {"message": "Unknown model m"}}),
        (405, {"detail": "Method Not Allowed"}),
        (407, {}),
        (307, {}),
    ],
)
def test_what_cannot_pass_by_waiting_is_a_matter_of_the_setup(status: int, body: Any) -> None:
    meaning = trouble(status, body)

    assert meaning.scope is Scope.SETUP
    assert not meaning.retryable


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 526, 529, 530])
def test_a_failing_server_is_everybodys(status: int) -> None:
    assert trouble(status, {"error": {"message": "down"}}).scope is Scope.SERVER


@pytest.mark.parametrize(
    "status, body",
    [
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens.", "code": "context_length_exceeded"}}),
        (400, {"error": {"message": "Unknown name: recharge, my quota, a limit, the balance", "type": "invalid_request_error"}}),
        (404, {"error": {"message": "No such File object: file-123", "type": "invalid_request_error"}}),
        (413, {"error": {"message": "too large"}}),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "Input should be a number", "type": "float"}]}),
        (409, {"error": {"message": "conflict"}}),
    ],
)
def test_what_only_this_row_asks_for_is_the_rows_own(status: int, body: Any) -> None:
    assert trouble(status, body).scope is Scope.ROW


@pytest.mark.parametrize(
    "status, body, seconds",
    [
        (429, [google(429, "slow", "RESOURCE_EXHAUSTED", RETRY_INFO)], 45.837906927),
        (503, {"error": "Model gpt2 is currently loading", "estimated_time": 20.0}, 20.0),
        (429, {"error": {"message": "Please retry in 3.2s"}}, 3.2),
        (429, {"error": {"message": "Rate limit reached. Please try again in 30m0s."}}, 1800.0),
    ],
)
def test_a_wait_in_the_body_is_read_however_long(status: int, body: Any, seconds: float) -> None:
    assert trouble(status, body).wait_seconds == pytest.approx(seconds)


def test_a_wait_of_hours_in_a_header_is_kept() -> None:
    assert trouble(429, {"error": {"message": "slow"}}, retry_after="7200").wait_seconds == 7200.0


def test_do_not_retry_ends_the_row_and_not_the_pause() -> None:
    overloaded = trouble(429, {"error": {"message": "slow"}}, x_should_retry="false")
    told_when = trouble(429, {"error": {"message": "slow"}}, x_should_retry="false", retry_after="5")

    assert not overloaded.retryable
    assert overloaded.throttled
    assert overloaded.scope is Scope.THROTTLE
    assert told_when.retryable
    assert told_when.throttled
    assert told_when.wait_seconds == 5.0


def test_a_server_that_says_do_not_retry_speaks_of_this_row() -> None:
    meaning = trouble(500, {"error": {"message": "poison"}}, x_should_retry="false")

    assert meaning.scope is Scope.ROW
    assert not meaning.retryable


def test_a_fault_is_the_servers_unless_it_cannot_pass() -> None:
    assert classify_fault(Fault(FailureKind.CONNECTION, "reset", maybe_sent=True, cause=FaultCause.CLOSED)).scope is Scope.SERVER
    certificate = Fault(FailureKind.CONNECTION, "certificate", maybe_sent=False, cause=FaultCause.TLS, permanent=True)
    assert classify_fault(certificate).scope is Scope.SETUP


@pytest.mark.parametrize(
    "body, code, message",
    [
        ([{"error": {"code": 400, "message": "inside a list", "status": "INVALID_ARGUMENT"}}], "400", "inside a list"),
        ({"object": "error", "message": "vllm", "type": "BadRequestError", "code": 400}, "400", "vllm"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded_error", "Overloaded"),
        ({"success": False, "errors": [{"code": 7003, "message": "No route"}]}, "7003", "No route"),
        ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, None, "rate limit"),
        ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, "18", "Open api qps request limit reached"),
        ({"detail": [{"loc": ["body", "n"], "msg": "wrong", "type": "x"}]}, "x", "body.n: wrong"),
        ({"error": "loading", "estimated_time": 20.0}, None, "loading"),
        ("plain", None, "plain"),
        (7, None, None),
        ([], None, None),
    ],
)
def test_an_error_body_of_any_provider_gives_its_code_and_message(body: Any, code: str | None, message: str | None) -> None:
    read = read_error(json.dumps(body).encode())

    assert (read.code, read.message) == (code, message)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000])
def test_a_body_that_is_no_json_says_nothing_of_an_error(body: bytes) -> None:
    assert read_error(body).codes == frozenset()


@pytest.mark.parametrize(
    "error",
    [None, False, {}, "", [], {"message": "", "type": "", "param": "", "code": None}, {"code": 0, "message": ""}],
)
def test_an_error_without_a_word_is_empty(error: Any) -> None:
    assert is_empty_error(error)


@pytest.mark.parametrize("error", [True, "no", 1, {"code": 500}, {"message": "no"}, {"details": {"a": "b"}}, ["no"]])
def test_an_error_that_says_anything_is_not_empty(error: Any) -> None:
    assert not is_empty_error(error)

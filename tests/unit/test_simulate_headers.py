"""How each provider writes its limits, letter by letter."""

from __future__ import annotations

import math

import pytest

from pipeline.simulate import Dialect, RetryAfter
from pipeline.simulate.headers import go_duration, limit_headers, refusal_message, wait_headers
from pipeline.simulate.limits import Admission, Level

WALL = 1_700_000_000.25  # 2023-11-14T22:13:20.25Z
ADMISSION = Admission(True, 0.0, "", Level(60, 59, 1.0), Level(90_000, 89_999.5, 119.5601))


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "0s"), (0.012, "12ms"), (0.0001, "1ms"), (1, "1s"), (59.56, "59.56s"), (360, "6m0s"), (179.56, "2m59.56s"), (3600.5, "1h0m0.5s")],
)
def test_go_duration_is_written_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def test_openai_headers() -> None:
    assert limit_headers(Dialect.OPENAI, ADMISSION, WALL) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-limit-tokens", "90000"),
        ("x-ratelimit-remaining-tokens", "89999"),
        ("x-ratelimit-reset-tokens", "1m59.561s"),
    ]


def test_azure_headers_are_whole_seconds_and_minus_one_for_the_unknown() -> None:
    admission = Admission(True, 0.0, "", Level(60, 59, 0.2), None)

    assert limit_headers(Dialect.AZURE, admission, WALL) == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1"),
        ("x-ratelimit-limit-tokens", "-1"),
        ("x-ratelimit-remaining-tokens", "-1"),
    ]


def test_anthropic_headers_are_times() -> None:
    headers = dict(limit_headers(Dialect.ANTHROPIC, ADMISSION, WALL))

    assert headers["anthropic-ratelimit-requests-limit"] == "60"
    assert headers["anthropic-ratelimit-requests-reset"] == "2023-11-14T22:13:22Z"
    assert headers["anthropic-ratelimit-tokens-remaining"] == "89999"


def test_anthropic_headers_tell_input_and_output_tokens_apart() -> None:
    admission = Admission(True, 0.0, "", input_tokens=Level(100, 40, 30.0), output_tokens=Level(50, 0, 60.0))

    headers = dict(limit_headers(Dialect.ANTHROPIC, admission, WALL))

    assert headers["anthropic-ratelimit-input-tokens-remaining"] == "40"
    assert headers["anthropic-ratelimit-output-tokens-reset"] == "2023-11-14T22:14:21Z"


def test_relay_passes_the_headers_on_under_names_of_its_own() -> None:
    assert limit_headers(Dialect.RELAY, Admission(True, 0.0, "", Level(60, 59, 1.0)), WALL) == [
        ("llm_provider-x-ratelimit-limit-requests", "60"),
        ("llm_provider-x-ratelimit-remaining-requests", "59"),
        ("llm_provider-x-ratelimit-reset-requests", "1s"),
    ]


def test_no_headers_without_a_dialect_or_without_limits() -> None:
    assert limit_headers(Dialect.NONE, ADMISSION, WALL) == limit_headers(Dialect.GEMINI, ADMISSION, WALL) == []
    assert limit_headers(Dialect.AZURE, Admission(True, 0.0, "", None, None), WALL) == []


@pytest.mark.parametrize(
    "style, headers",
    [
        (RetryAfter.HEADER, [("retry-after", "1.5")]),
        (RetryAfter.SECONDS, [("retry-after", "2")]),
        (RetryAfter.MS, [("retry-after-ms", "1500"), ("retry-after", "2")]),
        (RetryAfter.DATE, [("retry-after", "Tue, 14 Nov 2023 22:13:22 GMT")]),
        (RetryAfter.RELAY, [("llm_provider-retry-after", "1.5")]),
        (RetryAfter.MESSAGE, []),
        (RetryAfter.RETRY_INFO, []),
        (RetryAfter.NONE, []),
    ],
)
def test_wait_is_asked_for_where_the_style_says(style: RetryAfter, headers: list[tuple[str, str]]) -> None:
    assert wait_headers(style, 1.5, WALL) == headers


def test_message_carries_the_wait_only_where_nothing_else_does() -> None:
    assert "Retry-After: 2.5 seconds" in refusal_message(RetryAfter.MESSAGE, "requests", 2.5)
    assert "2.5" not in refusal_message(RetryAfter.HEADER, "requests", 2.5)


def test_request_that_can_never_pass_is_asked_for_no_wait() -> None:
    assert wait_headers(RetryAfter.HEADER, math.inf, WALL) == []
    assert "too large" in refusal_message(RetryAfter.HEADER, "tokens", math.inf)

import pytest

from pipeline.core.answers.quotas import _NAMES, NOTHING, ProviderLimits, Quota, limits_in
from pipeline.core.pacing.learner import EVERY_LIMIT, limits_told
from pipeline.heads import ResponseHeaders
from pipeline.messages import Report, Ticket
from pipeline.records import Job

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def read(**headers: str) -> ProviderLimits | None:
    return limits_in([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()], NOW)


def test_openai_names_requests_and_tokens_with_durations() -> None:
    said = read(
        x_ratelimit_limit_requests="500",
        x_ratelimit_remaining_requests="499",
        x_ratelimit_reset_requests="120ms",
        x_ratelimit_limit_tokens="30000",
        x_ratelimit_remaining_tokens="29000",
        x_ratelimit_reset_tokens="6m0s",
    )

    assert said == ProviderLimits(Quota(500, 499, 0.12), Quota(30000, 29000, 360.0))


def test_azure_says_unknown_as_minus_one_and_seconds_as_a_number() -> None:
    said = read(
        x_ratelimit_limit_tokens="-1", x_ratelimit_limit_requests="20", x_ratelimit_remaining_requests="9", x_ratelimit_reset_requests="7"
    )

    assert said == ProviderLimits(Quota(20, 9, 7.0), NOTHING)


def test_anthropic_counts_input_and_output_apart_and_names_times() -> None:
    said = read(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2026-01-01T00:00:01Z",
        anthropic_ratelimit_input_tokens_limit="40000",
        anthropic_ratelimit_input_tokens_remaining="39000",
        anthropic_ratelimit_output_tokens_limit="8000",
    )

    assert said == ProviderLimits(Quota(50, 49, 1.0), NOTHING, Quota(40000, 39000), Quota(8000))


@pytest.mark.parametrize("unit, place", [("req", "requests"), ("requests", "requests"), ("tokens", "tokens")])
@pytest.mark.parametrize("word, field", [("limit", "limit"), ("remaining", "remaining"), ("reset", "reset_seconds")])
@pytest.mark.parametrize("span, seconds", [("minute", 60.0), ("day", 86_400.0)])
def test_every_name_with_a_period_is_known(unit: str, place: str, word: str, field: str, span: str, seconds: float) -> None:
    said = limits_in([(f"x-ratelimit-{word}-{unit}-{span}".encode(), b"7")], NOW)

    assert said == ProviderLimits(**{place: Quota(**{field: 7.0, "period": seconds})})


def test_limit_whose_name_says_its_period_keeps_it() -> None:
    said = read(x_ratelimit_limit_req_minute="60", x_ratelimit_remaining_req_minute="12", x_ratelimit_limit_tokens_day="1000000")

    assert said == ProviderLimits(Quota(60, 12, None, 60.0), Quota(1_000_000, None, None, 86_400.0))


def test_of_two_names_for_the_same_limit_the_three_words_come_from_one() -> None:
    said = limits_in(
        [
            (b"llm_provider-x-ratelimit-remaining-requests", b"1"),
            (b"llm_provider-x-ratelimit-limit-requests", b"10"),
            (b"x-ratelimit-limit-requests", b"100"),
            (b"x-ratelimit-remaining-requests", b"90"),
        ],
        NOW,
    )

    assert said == ProviderLimits(Quota(100, 90))


def test_words_of_the_upstream_count_where_a_proxy_says_nothing_itself() -> None:
    said = limits_in([(b"llm_provider-x-ratelimit-limit-requests", b"10"), (b"llm_provider-x-ratelimit-remaining-requests", b"4")], NOW)

    assert said == ProviderLimits(Quota(10, 4))


def test_project_tokens_count_where_no_others_are_named() -> None:
    assert read(x_ratelimit_limit_project_tokens="7000") == ProviderLimits(NOTHING, Quota(7000))
    assert read(x_ratelimit_limit_project_tokens="7000", x_ratelimit_limit_tokens="5000") == ProviderLimits(NOTHING, Quota(5000))
    assert read(x_ratelimit_limit_project_tokens="7000", x_ratelimit_remaining_tokens="5") == ProviderLimits(NOTHING, Quota(None, 5))


@pytest.mark.parametrize("reset,seconds", [("1767225605", 5.0), ("1767225605500", 5.5), ("1767225595", None), ("30", 30.0), ("soon", None)])
def test_reset_may_be_a_time_since_the_epoch(reset: str, seconds: float | None) -> None:
    assert read(x_ratelimit_limit="10", x_ratelimit_reset=reset) == ProviderLimits(Quota(10, None, seconds))


def test_answer_that_says_nothing_of_limits_says_nothing() -> None:
    assert read(content_type="application/json", date="Thu, 01 Jan 2026 00:01:00 GMT") is None
    assert limits_in([], NOW) is None


def test_every_name_holds_what_an_answer_is_searched_for_before_its_headers_are_read() -> None:
    assert [name for name in _NAMES if EVERY_LIMIT not in name] == []
    assert said_by((b"x-request-id", b"1")) is None
    assert said_by((b"x-request-id", b"1"), (b"X-RateLimit-Limit-Requests", b"60")) == ProviderLimits(requests=Quota(60.0))


def said_by(*headers: tuple[bytes, bytes]) -> ProviderLimits | None:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in headers)
    job = Job(0, "a", "POST", "/v1/chat/completions", b"{}", 1, 1)
    return limits_told(Report(Ticket(job, 1, None), headers=ResponseHeaders(head)))

import pytest

from pipeline.core.answers.hints import MAX_RETRY_AFTER_SECONDS, retry_after_seconds

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def wait_of(headers: dict[bytes, bytes], message: str | None = None, *, exhausted: bool = True) -> float | None:
    return retry_after_seconds(headers.get, message, NOW, exhausted=exhausted)


@pytest.mark.parametrize(
    "value,seconds",
    [
        (b"1", 1.0),
        (b"2.5", 2.5),
        (b" 7 ", 7.0),
        (b"1s", 1.0),
        (b"6m0s", 360.0),
        (b"2m59.56s", 179.56),
        (b"12ms", 0.012),
        (b"0h2m3.5s", 123.5),
        ("250µs".encode(), 0.00025),
        (b"2026-01-01T00:00:30Z", 30.0),
        (b"2026-01-01T01:00:30.5+01:00", 30.5),
        (b"Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        (b"Thursday, 01-Jan-26 00:01:00 GMT", 60.0),
        (b"Thu Jan  1 00:01:00 2026", 60.0),
        (b"1h2m3.5s", 3723.5),
        (b"86400", 86_400.0),
        (b"2678400", MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_after_is_read_in_every_form_in_use(value: bytes, seconds: float) -> None:
    assert wait_of({b"retry-after": value}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"0",
        b"0s",
        b"-1",
        b"-2.5",
        b"nan",
        b"inf",
        b"1e3",
        b"1_0",
        b"soon",
        b"5 apples",
        b"2678401",
        b"9" * 18,
        b"9" * 400,
        b"1" * 64 + b"s",
        b"2025-12-31T23:59:59Z",
        b"2026-13-01T00:00:00Z",
        b"2026-01-01T00:00:99Z",
        b"Wed, 31 Dec 2025 23:59:59 GMT",
        b"Xxx, 99 Foo 2026 00:00:00 GMT",
        b"\xff\xfe\x00",
        "١٢".encode(),
    ],
)
def test_retry_after_that_makes_no_sense_is_absent(value: bytes) -> None:
    assert wait_of({b"retry-after": value}) is None


def test_wait_is_taken_from_the_most_exact_source_that_makes_sense() -> None:
    sources: list[tuple[bytes, bytes, float]] = [
        (b"retry-after-ms", b"1500", 1.5),
        (b"llm_provider-retry-after-ms", b"2500", 2.5),
        (b"retry-after", b"3", 3.0),
        (b"llm_provider-retry-after", b"4", 4.0),
    ]
    headers = {name: value for name, value, _ in sources}
    headers |= {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"6s"}

    for name, _, seconds in sources:
        assert wait_of(headers, "try again in 5s") == seconds
        headers[name] = b"garbage"

    assert wait_of(headers, "try again in 5s") == 5.0
    assert wait_of(headers, "no") == 6.0


@pytest.mark.parametrize(
    "message,seconds",
    [
        ("Rate limit exceeded. Retry-After: 2.5 seconds. Current: 120/min, Limit: 100/min", 2.5),
        ("Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29500. Please try again in 1.2s. Visit …", 1.2),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 20ms.", 0.02),
        ("Please retry after 26 seconds.", 26.0),
        ("Please retry in 12.3s", 12.3),
        ("TRY AGAIN IN 2 Minutes", 120.0),
        ("retry after 500 milliseconds", 0.5),
        ("Retry-After: 7", 7.0),
        ("Retry-After: 7. Limit: 3", 7.0),
        ("try again in 3 days", None),
        ("try again in 25 days", None),
        ("try again in 2.5 days", None),
        ("try again in 99999999s, or retry after 5s", 5.0),
        ("try again in a while", None),
        ("I tried again in 1999", None),
        ("", None),
    ],
)
def test_wait_named_in_a_message_is_found(message: str, seconds: float | None) -> None:
    assert wait_of({}, message) == pytest.approx(seconds)


def test_reset_of_an_exhausted_limit_is_the_wait_and_the_longest_counts() -> None:
    openai = {
        b"x-ratelimit-remaining-requests": b"12",
        b"x-ratelimit-reset-requests": b"50s",
        b"x-ratelimit-remaining-tokens": b"0",
        b"x-ratelimit-reset-tokens": b"1.5s",
        b"x-ratelimit-remaining-project-tokens": b"0",
        b"x-ratelimit-reset-project-tokens": b"2.5s",
    }
    anthropic = {b"anthropic-ratelimit-output-tokens-remaining": b"0", b"anthropic-ratelimit-output-tokens-reset": b"2026-01-01T00:00:09Z"}
    azure = {b"x-ratelimit-remaining-tokens": b"-1", b"x-ratelimit-reset-tokens": b"30"}

    assert wait_of(openai) == 2.5
    assert wait_of(anthropic) == 9.0
    assert wait_of(azure) is None


def test_reset_of_an_exhausted_limit_is_the_wait_of_a_429_only() -> None:
    headers = {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"6s"}

    assert wait_of(headers, exhausted=False) is None

"""No answer, however strange, breaks the reading of hints, nor makes a run wait for nothing or for ever."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers.hints import MAX_RETRY_AFTER_SECONDS, retry_after_seconds
from pipeline.core.answers.quotas import ProviderLimits, limits_in

NAMES = [
    b"retry-after",
    b"retry-after-ms",
    b"llm_provider-retry-after",
    b"x-ratelimit-remaining-requests",
    b"x-ratelimit-reset-requests",
    b"x-ratelimit-limit-tokens",
    b"anthropic-ratelimit-tokens-remaining",
    b"anthropic-ratelimit-tokens-reset",
]
NO_HEADERS: dict[bytes, bytes] = {}
NOW = 1_767_225_600.0
almost = st.from_regex(
    r"\A(-?[0-9]{1,20}(\.[0-9]*)?(h|m|s|ms|e9)?|nan|inf|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})"
    r"|(Mon|Thu|Thursday),? [0-9]{2}[ -](Jan|Feb|Xxx)[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} (GMT|UTC|-0000))\Z",
)
values = st.one_of(st.binary(max_size=80), almost.map(str.encode), st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
messages = st.none() | st.text(max_size=80) | almost.map("please try again in {}".format) | almost.map("Retry-After: {} seconds".format)


@given(headers=st.dictionaries(st.sampled_from(NAMES), values), message=messages, now=st.floats(0, 4e9), exhausted=st.booleans())
def test_hints_of_any_bytes_are_plausible_or_absent(
    headers: dict[bytes, bytes], message: str | None, now: float, *, exhausted: bool
) -> None:
    wait = retry_after_seconds(headers.get, message, now, exhausted=exhausted)
    limits = limits_in(headers.items(), now) or ProviderLimits()

    assert wait is None or 0 < wait <= MAX_RETRY_AFTER_SECONDS
    for quota in (limits.requests, limits.tokens):
        assert all(value is None or 0 <= value < float("inf") for value in (quota.limit, quota.remaining, quota.reset_seconds))


@given(minutes=st.integers(0, 9), milliseconds=st.integers(1, 59_999))
def test_a_go_duration_is_read_as_it_was_written(minutes: int, milliseconds: int) -> None:
    text = f"0h{minutes}m{milliseconds / 1000}s"

    wait = retry_after_seconds({b"retry-after": text.encode()}.get, None, NOW)
    said = retry_after_seconds(NO_HEADERS.get, f"Please try again in {text}.", NOW)

    assert wait == said == pytest.approx(minutes * 60 + milliseconds / 1000)


@given(ahead=st.integers(1, 600), now=st.integers(0, 4_000_000_000))
def test_a_date_is_read_as_the_seconds_until_then(ahead: int, now: int) -> None:
    moment = datetime.fromtimestamp(now + ahead, UTC)

    for text in (format_datetime(moment, usegmt=True), moment.isoformat(), moment.isoformat().replace("+00:00", "Z")):
        assert retry_after_seconds({b"retry-after": text.encode()}.get, None, float(now)) == ahead

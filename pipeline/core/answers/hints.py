"""How long a provider's answer asks to wait. Reads headers and text; decides and raises nothing. Limits in headers are read by `quotas`.

Whatever is missing, malformed, negative or implausible counts as absent, and the next source is asked.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Header = Callable[[bytes], bytes | None]

MAX_RETRY_AFTER_SECONDS = 31 * 86_400.0  # a monthly quota; above it stands a mistake, such as a time for a duration
MAX_VALUE_BYTES = 64  # no form below is longer
MAX_MESSAGE_CHARACTERS = 4096  # where a wait is looked for

_NUMBER = later(r"[0-9]{1,18}(?:\.[0-9]{0,18})?")
_DURATION = later(r"(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:ns|us|µs|ms|h|m|s))+")  # Go's time.Duration
_DURATION_PART = later(r"([0-9.]+)([a-zµ]+)")
_RFC_3339 = later(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]{8,18}(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")
_HTTP_DATE = later(r"[A-Z][a-z]{2,8},? [A-Za-z0-9 :-]{15,24}")  # all three forms of RFC 9110, 5.6.7
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

# "Retry-After: 2.5 seconds", "try again in 6m0s", "Please retry after 26 seconds", "Please retry in 12.3s"; a number with
# a word that is no unit of these ("in 3 days") is none.
_SAID = later(
    r"(?:retry[- ]after:?|(?:try again|retry) in)\s{0,3}"
    r"(?:(?P<duration>(?:[0-9]{1,18}(?:\.[0-9]{1,18})?(?:ms|h|m|s))+)(?![a-z0-9])"
    r"|(?P<number>[0-9]{1,18}(?:\.[0-9]{1,18})?)(?:\s?(?P<unit>milliseconds?|seconds?|secs?|minutes?|mins?)\b|(?!\.?[0-9]|\s?[a-z])))",
    re.IGNORECASE | re.ASCII,
)
_SPOKEN_SECONDS = {"mil": 1e-3, "sec": 1.0, "min": 60.0}

_OPENAI = ("x-ratelimit-{what}-{kind}", ("requests", "tokens", "project-tokens"))
_ANTHROPIC = ("anthropic-ratelimit-{kind}-{what}", ("requests", "tokens", "input-tokens", "output-tokens"))


def _names(what: str) -> tuple[bytes, ...]:
    return tuple(name.format(kind=kind, what=what).encode() for name, kinds in (_OPENAI, _ANTHROPIC) for kind in kinds)


_REMAINING_AND_RESET = tuple(zip(_names("remaining"), _names("reset"), strict=True))


def retry_after_seconds(
    header: Header, body_message: str | None, now_utc: float, *, exhausted: bool = True, told: Iterable[str] = ()
) -> float | None:
    """The least wait that the provider asks for, in seconds, greater than 0; None if it asks for none.

    header: finds the value of a header, named in lower case. body_message: the error's text. now_utc: seconds since the
    epoch. told: values of the error body's own fields for a wait (`retryDelay`, `estimated_time`). exhausted: the answer is
    a 429, so that a limit of which nothing remains tells the wait by its reset.

    Source: OpenAI SDK `_base_client.py` (order; a wait of 0 is none); LiteLLM proxy (the `llm_provider-` names).
    """
    waits = _waits(header, body_message, now_utc, told, exhausted=exhausted)
    return next((wait for wait in waits if wait is not None and 0 < wait <= MAX_RETRY_AFTER_SECONDS), None)


def _waits(header: Header, message: str | None, now_utc: float, told: Iterable[str], *, exhausted: bool) -> Iterator[float | None]:
    for name in (b"retry-after-ms", b"llm_provider-retry-after-ms"):
        milliseconds = _number(_text(header(name)))
        yield None if milliseconds is None else milliseconds / 1000
    for name in (b"retry-after", b"llm_provider-retry-after"):
        yield wait_named(_text(header(name)), now_utc)
    yield from (wait_named(text.strip(), now_utc) for text in told if len(text) <= MAX_VALUE_BYTES)
    if message is not None:
        yield from map(_said, _SAID.finditer(message[:MAX_MESSAGE_CHARACTERS]))
    if exhausted:
        resets = (wait_named(_text(header(reset)), now_utc) for left, reset in _REMAINING_AND_RESET if _number(_text(header(left))) == 0)
        yield max((reset for reset in resets if reset is not None), default=None)


def _text(value: bytes | None) -> str:
    """A header's value as text; "" for one that is missing or too long to be any of the forms."""
    return "" if value is None or len(value) > MAX_VALUE_BYTES else value.decode("utf-8", "replace").strip()


def _number(text: str) -> float | None:
    """A plain number, not negative: -1 is Azure's "unknown"."""
    return float(text) if _NUMBER.fullmatch(text) else None


def wait_named(text: str, now_utc: float) -> float | None:
    """Seconds from now to what a text names, in any of the forms in use; None for a time that has passed."""
    if _NUMBER.fullmatch(text):
        return float(text)
    if _DURATION.fullmatch(text):
        return _duration(text)
    at = _moment(text)
    return at - now_utc if at is not None and at >= now_utc else None


def _duration(text: str) -> float:
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _moment(text: str) -> float | None:
    """The time that an RFC 3339 or HTTP date names, in seconds since the epoch."""
    try:
        if _RFC_3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).timestamp()
        if _HTTP_DATE.fullmatch(text):
            from email.utils import parsedate_to_datetime  # noqa: PLC0415  4 ms that only a date costs

            moment = parsedate_to_datetime(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # the standard library's parsers are not total
        return None
    return None


def _said(match: re.Match[str]) -> float:
    """The wait that a message names, in seconds."""
    if duration := match["duration"]:
        return _duration(duration.lower())
    return float(match["number"]) * _SPOKEN_SECONDS[(match["unit"] or "sec")[:3].lower()]

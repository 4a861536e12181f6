"""How providers speak of their limits: header names, value formats and error bodies, as each of them writes them. Pure.

`wall` is seconds since 1970; only Anthropic's times and HTTP dates need it.
Source: OpenAI, "Rate limits"; Azure OpenAI and Anthropic API references.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING

from pipeline.simulate.choices import Dialect, RetryAfter

if TYPE_CHECKING:
    from pipeline.simulate.limits import Admission, Level
    from pipeline.simulate.reply import Headers


def go_duration(seconds: float) -> str:
    """A time as Go's `Duration.String` writes it, rounded up to milliseconds: 12ms, 1s, 2m59.56s, 1h0m0s."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds <= 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def limit_headers(dialect: Dialect, admission: Admission, wall: float) -> Headers:
    """The headers that say how the limits stand; none for limits that are not set, nor for what the dialect has no name for."""
    levels = [("requests", admission.requests), ("tokens", admission.tokens)]
    if dialect is Dialect.ANTHROPIC:
        levels += [("input-tokens", admission.input_tokens), ("output-tokens", admission.output_tokens)]
    if dialect in {Dialect.NONE, Dialect.GEMINI} or all(level is None for _, level in levels):
        return []
    headers: Headers = []
    for what, level in levels:
        if dialect is Dialect.AZURE:
            headers += _azure(what, level)
        elif level is not None:
            headers += _anthropic(what, level, wall) if dialect is Dialect.ANTHROPIC else _openai(what, level)
    return [(f"llm_provider-{name}", value) for name, value in headers] if dialect is Dialect.RELAY else headers


def _openai(what: str, level: Level) -> Headers:
    return [
        (f"x-ratelimit-limit-{what}", f"{level.limit:.0f}"),
        (f"x-ratelimit-remaining-{what}", f"{math.floor(level.remaining + 1e-9)}"),
        (f"x-ratelimit-reset-{what}", go_duration(level.reset_seconds)),
    ]


def _azure(what: str, level: Level | None) -> Headers:
    if level is None:  # Azure says -1 for what it does not know
        return [(f"x-ratelimit-limit-{what}", "-1"), (f"x-ratelimit-remaining-{what}", "-1")]
    return [*_openai(what, level)[:2], (f"x-ratelimit-reset-{what}", f"{math.ceil(level.reset_seconds - 1e-9)}")]


def _anthropic(what: str, level: Level, wall: float) -> Headers:
    reset = datetime.fromtimestamp(math.ceil(wall + level.reset_seconds), UTC)
    return [
        (f"anthropic-ratelimit-{what}-limit", f"{level.limit:.0f}"),
        (f"anthropic-ratelimit-{what}-remaining", f"{math.floor(level.remaining + 1e-9)}"),
        (f"anthropic-ratelimit-{what}-reset", f"{reset:%Y-%m-%dT%H:%M:%SZ}"),
    ]


def wait_headers(style: RetryAfter, seconds: float, wall: float) -> Headers:
    """The headers that ask for a wait, never for less of it than `seconds`. Nothing for an infinite one."""
    if not math.isfinite(seconds):
        return []
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    decimal = f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")
    match style:
        case RetryAfter.HEADER:
            return [("retry-after", decimal)]
        case RetryAfter.SECONDS:
            return [("retry-after", str(max(1, math.ceil(milliseconds / 1000))))]
        case RetryAfter.MS:
            return [("retry-after-ms", str(milliseconds)), ("retry-after", str(math.ceil(milliseconds / 1000)))]
        case RetryAfter.DATE:
            return [("retry-after", formatdate(math.ceil(wall + seconds - 1e-6), usegmt=True))]
        case RetryAfter.RELAY:
            return [("llm_provider-retry-after", decimal)]
        case _:
            return []


def refusal_message(style: RetryAfter, bound: str, seconds: float) -> str:
    """The text of a 429; it carries the wait where nothing else does."""
    if not math.isfinite(seconds):
        return f"Request too large: it needs more {bound} than the limit allows in a whole period"
    if style is RetryAfter.MESSAGE:
        return f"Rate limit exceeded. Retry-After: {math.ceil(seconds * 1000 - 1e-6) / 1000:g} seconds. Limit: {bound}"
    return f"Rate limit reached for {bound}"

"""What the headers of an answer say of the provider's limits, in everybody's names. Reads; decides nothing, raises nothing.

One pass over the headers and a look-up each, for most answers of a run carry the same ones: about a microsecond where none of
them speaks of limits, four where six do. Whatever is missing, malformed or negative (-1 is Azure's "unknown") counts as absent.

Sources: OpenAI rate-limit guide (also Azure, Groq, Fireworks and most relays); Anthropic API reference; LiteLLM proxy (`llm_provider-`);
IETF draft-ietf-httpapi-ratelimit-headers; Mistral, Cerebras and Together references; OpenRouter (a reset in epoch milliseconds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_VALUE_BYTES = 64  # no form that is in use is longer
EPOCH_SECONDS = 1e9  # a reset above this is a time, not a duration
EPOCH_MILLISECONDS = 1e12


class Quota(Struct, frozen=True):
    """What a provider says of one of its limits; None where it does not say.

    reset_seconds: counted from the answer. period: of the limit in seconds, where its name says it.
    """

    limit: float | None = None
    remaining: float | None = None
    reset_seconds: float | None = None
    period: float | None = None


NOTHING = Quota()


class ProviderLimits(Struct, frozen=True):
    """What a provider says of a key's limits, as of one answer. As a rule it does not say their period."""

    requests: Quota = NOTHING
    tokens: Quota = NOTHING
    input_tokens: Quota = NOTHING
    output_tokens: Quota = NOTHING


_UNITS = {"requests": 0, "tokens": 1, "project-tokens": 1, "input-tokens": 2, "output-tokens": 3}
_WHATS = ("limit", "remaining", "reset")
_DAY = 86_400.0


def _names() -> dict[bytes, tuple[int, int, int, float | None]]:
    """Header name: (unit, what, rank, period). Of two names for the same, the lower rank counts."""
    names: dict[str, tuple[int, int, int, float | None]] = {}
    for what, word in enumerate(_WHATS):
        for unit, place in _UNITS.items():
            rank = 1 if unit == "project-tokens" else 0
            names[f"x-ratelimit-{word}-{unit}"] = (place, what, rank, None)
            names[f"llm_provider-x-ratelimit-{word}-{unit}"] = (place, what, 2 + rank, None)
            names[f"anthropic-ratelimit-{unit}-{word}"] = (place, what, 1, None)
            names[f"llm_provider-anthropic-ratelimit-{unit}-{word}"] = (place, what, 3, None)
        for unit, place in (("req", 0), ("requests", 0), ("tokens", 1)):  # Mistral, Cerebras
            names[f"x-ratelimit-{word}-{unit}-minute"] = (place, what, 1, 60.0)
            names[f"x-ratelimit-{word}-{unit}-day"] = (place, what, 5, _DAY)
        names[f"x-ratelimit-{word}"] = (0, what, 4, None)
        names[f"ratelimit-{word}"] = (0, what, 4, None)
        names[f"x-tokenlimit-{word}"] = (1, what, 4, None)  # Together
    return {name.encode(): value for name, value in names.items()}


_NAMES = _names()
_NUMBER = later(r"[0-9]{1,18}(?:\.[0-9]{0,18})?")


def limits_in(headers: Iterable[tuple[bytes, bytes]], now_utc: float) -> ProviderLimits | None:
    """What the headers say of the limits; None where they say nothing.

    headers: names in lower case. now_utc: seconds since the epoch, for a reset that is a time.
    """
    known = _NAMES
    found = [(known[name], value) for name, value in headers if name in known]
    if not found:
        return None
    best: dict[int, int] = {}  # the rank that counts, by unit: the three words must speak of one limit
    for (unit, _, rank, _), value in found:
        if rank < best.get(unit, 9) and value != b"-1":
            best[unit] = rank
    words: dict[int, list[float | None]] = {}
    for (unit, what, rank, period), value in found:
        if rank != best.get(unit) or len(value) > MAX_VALUE_BYTES:
            continue
        quota = words.get(unit)
        if quota is None:
            quota = words[unit] = [None, None, None, period]
        text = value.decode("utf-8", "replace").strip()
        if quota[what] is None:
            quota[what] = float(text) if what < 2 and _NUMBER.fullmatch(text) else _reset(text, now_utc) if what == 2 else None
    quotas = [Quota(*words[unit]) if unit in words else NOTHING for unit in range(4)]
    return ProviderLimits(*quotas)


def _reset(text: str, now_utc: float) -> float | None:
    """Seconds until the time that a reset names, in any of the forms in use; None for one that has passed."""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds < EPOCH_SECONDS:
            return seconds
        at = seconds / 1000 if seconds > EPOCH_MILLISECONDS else seconds
        return at - now_utc if at >= now_utc else None
    from pipeline.core.answers.hints import wait_named  # noqa: PLC0415  a run whose provider names no durations does not pay for it

    return wait_named(text, now_utc)

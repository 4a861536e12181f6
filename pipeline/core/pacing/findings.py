"""What was found out about a provider's limits, as a plain value that a journal can keep."""

from __future__ import annotations

from msgspec import Struct

ENOUGH_ATTEMPTS, ENOUGH_SECONDS = 500, 60.0  # below both of them a pace that refusals have shown may still be off by half or more


class Learned(Struct, frozen=True):
    """What was found out about a provider's limits: for people, and for a later run to go on from. Plain values.

    requests_per_minute: the pace that was found. kind: "fixed", "sliding" (a window), "bucket" (or a window too short to matter),
    "in_flight" (a cap on attempts at once) or "announced" (the provider's headers say it). period: seconds of the window, or None.
    in_flight: the cap, or None. tokens_per_minute: as announced, or None.
    """

    requests_per_minute: float | None
    kind: str
    period: float | None = None
    in_flight: int | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None


def shown(learned: Learned | None) -> tuple[float | None, str | None, int | None]:
    """The pace in requests a minute, the kind and the cap that were found, for people; None for each that was not."""
    if learned is None:
        return None, None, None
    pace = learned.requests_per_minute
    return None if pace is None else round(pace, 3), learned.kind, learned.in_flight


def is_certain(kind: str | None, attempts: int, seconds: float) -> bool:
    """Whether a pace that was found is good enough to be written into a config: announced, or found in a run of some length."""
    return kind == "announced" or attempts >= ENOUGH_ATTEMPTS or seconds >= ENOUGH_SECONDS

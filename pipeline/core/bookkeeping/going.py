"""The progress of a run as its journal keeps it for `status`. Pure: `now` is an argument."""

from __future__ import annotations

from msgspec import Struct, field

RATE_SECONDS = 30.0  # a rate is taken over one to two times this: long enough to hide single retries
LEAST_SECONDS = 1.0  # of history, before there is a rate


class LaneWait(Struct, frozen=True, omit_defaults=True):
    """What holds one lane back, and what it used of its limits. out_seconds: for how long it has taken no rows, None while it does."""

    name: str
    bound: str = ""
    out_seconds: float | None = None
    limited_by: dict[str, float] = field(default_factory=dict)
    attained: float | None = None


class Going(Struct, frozen=True):
    """What a commit knows besides its counts.

    rows_expected: about how many rows the input has, None where nothing tells. in_flight, waiting: attempts, and rows that wait for
    another. rows_per_second: outcomes of late, None if that is not known yet. bound, limited_by, attained: as in `Progress`. lanes: what
    holds each of several lanes back, and what it used.
    """

    rows_expected: int | None = None
    in_flight: int = 0
    waiting: int = 0
    rows_per_second: float | None = None
    bound: str = ""
    limited_by: dict[str, float] = field(default_factory=dict)
    attained: float | None = None
    lanes: tuple[LaneWait, ...] = ()


class RecentRate:
    """How fast a count has grown of late. It remembers two moments, at least RATE_SECONDS apart."""

    __slots__ = ("_before", "_newer")

    def __init__(self, now: float, count: int) -> None:
        self._before = self._newer = (now, count)

    def note(self, now: float, count: int) -> float | None:
        """The rate up to now, a second; None before there is any."""
        began, was = self._before
        if now - self._newer[0] >= RATE_SECONDS:
            self._before, self._newer = self._newer, (now, count)
        return (count - was) / (now - began) if now - began >= LEAST_SECONDS and count > was else None

"""What a lane waits for, for how long it has waited for each cause, and how much its limits allowed meanwhile. No clock lives here.

The gate asks after each round what holds every lane back. A lane can differ from the run: with one of two lanes out of reach, the
run waits for the limits of the other one. So a run has shares of time by cause, and so has each of its lanes.
"""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

STANDBY = "standby"  # the row that is next does not go here: another lane has a higher priority, or only another one can take it
NO_ROW = frozenset({"input", "output", "retry", ""})  # no row waits that a lane could take now
DIGITS = 10_000  # shares are given in so many parts


class Waits(Struct, eq=False):
    """The waits of one lane. asked: what held it back when it was asked in this round, "" if it was not. bound: what holds it back now.

    seconds: for how long it has waited, by bound.
    """

    asked: str = ""
    bound: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """Count a wait for what holds the lane back."""
        self.seconds[self.bound] = self.seconds.get(self.bound, 0.0) + seconds


class Allowance(Struct, eq=False):
    """The requests that a lane's configured limits allow over time. rate: a second, None without a limit, since the clock `since`.

    before: requests that were allowed from the beginning up to `since`; None if there was no limit for a part of that time.
    """

    rate: float | None
    since: float = -inf
    before: float | None = 0.0

    def begin(self, now: float) -> None:
        """The lane is used from now on, and not since the run began."""
        self.since = now

    def change(self, rate: float | None, now: float, began: float) -> None:
        """Another rate holds from now on. began: when the first attempt of the run left, or `now` if none has."""
        self.before = self.over(began, now, None)
        self.rate, self.since = rate, now

    def over(self, began: float, until: float, found: float | None) -> float | None:
        """Requests that were allowed between two clocks; None without a limit. found: requests a second that the provider allows."""
        rates = [rate for rate in (self.rate, found) if rate is not None]
        if not rates or self.before is None:
            return None
        return self.before + min(rates) * max(0.0, until - max(began, self.since))


def shares(seconds: Mapping[str, float], whole: float) -> dict[str, float]:
    """The share of each bound, rounded down, so that all together are no more than the whole."""
    return {name: floor(part / whole * DIGITS) / DIGITS for name, part in sorted(dict(seconds).items()) if part > 0} if whole > 0 else {}

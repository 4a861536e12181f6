"""When the next attempt may leave on a lane that is held: the probes, one at a time. Pure: `now` is an argument.

The waits between probes double. A probe that a black hole swallows is given up as a probe after a while, though not as an
attempt, and another one leaves.
"""

from __future__ import annotations

from math import inf

FIRST_SECONDS = 1.0
LAST_SECONDS = 8.0
LOST_SECONDS = 10.0  # a probe that is not answered by then is given up as a probe, but not as an attempt
MOST_LOST = 16  # at most so many probes wait for an answer that may never come
NONE = -1  # no attempt has this number


class Probes:
    """The probes of one lane. number: of the attempt that is the probe now, NONE while none is in flight."""

    __slots__ = ("_at", "_delay", "_left", "_lost", "_others_until", "number")

    def __init__(self) -> None:
        self.number = NONE
        self._delay = FIRST_SECONDS
        self._at = self._left = self._others_until = -inf
        self._lost = 0  # probes that were given up

    def next_at(self, p95: float) -> float:
        """When the next may leave. p95: seconds that nearly all answers took, inf while unknown."""
        if self.number == NONE:
            return max(self._at, self._others_until)
        if self._lost >= MOST_LOST:
            return inf
        return self._left + max(LOST_SECONDS, 0.0 if p95 == inf else 3 * p95)

    def departed(self, number: int, now: float) -> None:
        """Note that an attempt leaves as a probe."""
        self._lost += self.number != NONE
        self.number, self._left = number, now

    def says_nothing(self, number: int) -> None:
        """Note that an attempt, which may be the probe, ended in a way that shows nothing."""
        if number == self.number:
            self.number = NONE

    def begin(self, now: float, told_until: float, *, anew: bool) -> None:
        """The lane is held from now on. told_until: the provider wants no attempt before. anew: it was not just held."""
        if anew:
            self._delay = FIRST_SECONDS
        self.number, self._lost = NONE, 0
        self._at = max(now + self._delay, told_until)

    def failed(self, number: int, now: float, told_until: float) -> None:
        """Note that an attempt failed that left while the lane was held."""
        self.says_nothing(number)
        self._delay = min(2 * self._delay, LAST_SECONDS)
        self._at = max(now + self._delay, told_until)

    def leave_to_others(self, until: float) -> None:
        """Another process probes the lane, and says before this clock whether it still does."""
        self._others_until = until

    def answered(self) -> None:
        """A probe was answered: the lane is held no longer."""
        self.number, self._lost = NONE, 0
        self._delay, self._others_until = FIRST_SECONDS, -inf

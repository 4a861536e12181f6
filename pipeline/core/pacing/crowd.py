"""Is what refuses us a cap on attempts at once? Then the bound in flight is lowered, and nobody is paused.

A cap and a rate limit look alike while the pace is even: both refuse at the peak of what is in flight. A cap is assumed only when
refusals keep coming at the same number in flight, which was never exceeded in between; and it is dropped as soon as a refusal comes
well below that number. Where a provider says in words that there are too many parallel requests, it is believed at once.
"""

from __future__ import annotations

from collections import deque
from math import inf

from msgspec import Struct, field

ALIKE = 0.04  # refusals at numbers so close are at the same number: what is on the wire counts here and not there
BELOW = 0.05  # a refusal so far below the bound was not caused by it
ALIKE_REFUSALS, FEW_REFUSALS = 3, 4  # in a row, before a cap is assumed without being told; the second where it would be small
BANNED_REFUSALS = 12  # an assumption that was wrong is not made again so soon
APART_SECONDS = 0.4  # two refusals nearer than this are at the same number anyway
SOON, SOON_REFUSALS = 20, 7  # so many refusals in a row, each within so many departures or a bound's: lowering it does not help
UNRELIEVED = 1  # refusals soon after another, that show it
LOWER = 0.85  # the bound, for each of them
PATIENCE = 10  # times the bound, departures without a refusal before one more is tried, at most
STEP_SHARE = 0.15  # of the bound, that it grows by at once
LEAST_CAP = 4  # a pace that falls without end arrives at so few by itself
FEW = 6  # in flight: at and below it every number is alike, and only the same one, time after time, tells of a cap


class Crowd(Struct, eq=False):
    """The bound on attempts in flight. slots: the configured one. bound: the one in force, `slots` if no cap is known."""

    slots: int
    bound: int = 0
    capped: bool = False
    _good: float = 0.0  # a number in flight that the cap allows
    _recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=FEW_REFUSALS))  # (in flight, peak let in since the last)
    peak: int = 0
    _banned: int = 0
    _last: float = -inf  # when the last refusal left that was counted
    _step: int = 1
    _grown_at: float = -inf
    _overshot: bool = False  # the bound was lowered so fast that it may be too low
    _told: bool = False  # the provider itself speaks of parallel requests
    _unrelieved: int = 0  # times in a row that lowering the bound did not help at once
    _soon: int = 0  # refusals in a row that came soon after the one before
    _left: int = 0  # departures since the last refusal
    _left_since: int = 0  # departures at the bound since the last refusal or growth

    def __post_init__(self) -> None:
        self.bound = self.slots

    def departed(self, in_flight: int, now: float, patience: int) -> None:
        """An attempt leaves under a cap; in_flight: with it. patience: departures without a refusal before one more may be tried."""
        self._left += 1
        self.peak = max(self.peak, in_flight)
        if self.capped and in_flight >= 0.9 * self.bound:
            self._left_since += 1
            patience = max(SOON, self.bound) if self._overshot else min(patience, PATIENCE * self.bound)
            if self._left_since >= patience and now >= self._grown_at + 1.0:
                self._good = self.bound
                self.bound = min(self.slots, self.bound + self._step)
                self._step = min(2 * self._step, max(1, int(STEP_SHARE * self.bound)))
                self._grown_at = now
                if self.bound >= self.slots:
                    self.forget()

    def told(self, in_flight: int) -> None:
        """A refusal that speaks of parallel requests, of an attempt that left as the `in_flight`th."""
        self._told = True
        self._adopt(max(1, min(in_flight - 1, self.bound)))

    def refused(self, in_flight: int, left: float, *, even: bool) -> bool:
        """A refusal that says nothing, of an attempt that left at `left`; whether a cap explains it, so that the pace need not change.

        even: the pace was one that had been found to be safe, so that a refusal only shows that a test went too far.
        """
        peak, self.peak = self.peak, 0
        departures, self._left = self._left, 0
        if self.capped:
            if departures < max(SOON, self.bound // 4):
                self._soon += 1
                self._unrelieved += self._soon == UNRELIEVED
            else:
                self._unrelieved = self._unrelieved if self._soon >= UNRELIEVED else 0
                self._soon = 0
            useless = self._soon >= SOON_REFUSALS or (self._unrelieved >= 2 and not self._told)
            if in_flight >= min(self.bound, self._good) * (1 - BELOW) - 1.5 and not useless:
                lower = LOWER if self._soon > 1 else 1.0  # a first one only shows that a test went too far
                self._overshot = self._soon > 1
                self._adopt(max(1, round(min(in_flight - 1.0, lower * self.bound, max(self._good, 0.97 * self.bound - 1)))))
                return True
            self.forget()
            self._banned = BANNED_REFUSALS
            return False
        self._banned -= 1
        if even:
            self._recent.clear()
            return False
        if left - self._last < APART_SECONDS:
            self.peak = peak
            return False
        self._last = left
        self._recent.append((in_flight, peak))
        few = in_flight <= FEW
        if (
            in_flight < LEAST_CAP
            or self._banned > 0
            or len(self._recent) < (FEW_REFUSALS if few else ALIKE_REFUSALS)
            or in_flight >= self.slots
        ):
            return False
        recent = list(self._recent)[-(FEW_REFUSALS if few else ALIKE_REFUSALS) :]
        numbers = [number for number, _ in recent]
        top, least = max(numbers), min(numbers)
        spread = 0.0 if few else max(1.0, ALIKE * top)
        if top - least > spread or max(peak for _, peak in recent[1:]) > top * 1.02 + (0 if few else 1):
            return False
        self._adopt(max(1, least - 1))
        return True

    def retune(self, slots: int) -> None:
        """Another bound is configured."""
        self.slots = slots
        self.bound = min(self.bound, slots) if self.capped else slots

    def forget(self) -> None:
        """No cap is known any more."""
        self.capped, self.bound, self.peak = False, self.slots, 0
        self._told, self._soon, self._unrelieved = False, 0, 0
        self._recent.clear()

    def _adopt(self, bound: int) -> None:
        self.capped, self.bound, self._good = True, bound, max(1.0, 0.97 * bound)
        self._step, self._left_since, self.peak = 1, 0, 0
        self._recent.clear()

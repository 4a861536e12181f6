"""Is what refuses us a cap on attempts at once? Then the bound in flight is lowered, and nobody is paused.

Theory of operation. A cap and a rate limit look alike while the pace is even: both refuse when most is in flight. They are told apart by
the number in flight at each refusal. A cap refuses only at numbers above all that it lets in. A rate limit refuses at any number.

- Time is cut into slots (a fraction of a latency each), and the highest number in flight that was let in is kept for each of the last 64.
- The rank of a refusal is the share of these slots that were lower. Under a rate limit ranks average one half, under a cap nearly one. The
  ranks above `MIDDLE_RANK` are summed up; enough of them, at numbers that are alike, and a cap is assumed.
- The assumption is a trial. It is dropped as soon as a refusal comes well below the bound, or when lowering the bound does not help. The
  pace that was known before is held again then, and the next trial takes twice as many refusals.

Where a provider says in words that there are too many parallel requests, it is believed at once.
"""

from __future__ import annotations

from collections import deque
from math import inf, sqrt

from msgspec import Struct, field

SLOTS_KEPT, FEW_SLOTS = 64, 8  # of time; below the second nothing is ranked
MIDDLE_RANK = 0.7  # what a refusal at a rate limit rarely exceeds
ENOUGH, EVEN_ENOUGH = 1.1, 1.3  # ranks above it, summed up: four or five refusals. The second while the pace is even
ALIKE, ALIKE_REFUSALS = 0.04, 3  # the last three refusals came at numbers so close; what is on the wire counts here and not there
BELOW = 0.05  # a refusal so far below the bound was not caused by it
DRIFTED = 0.88  # of a number that was held: a refusal below it was not caused by a cap either
BANNED_REFUSALS = 12  # an assumption that was wrong is not made again so soon; the second one for twice as many, and so on
APART_SECONDS, APART_DEPARTURES = 0.4, 20  # two refusals nearer than the shorter of these are at the same number anyway
SOON, SOON_REFUSALS = 20, 7  # so many refusals in a row, each within so many departures or a bound's: lowering it does not help
UNRELIEVED = 1  # refusals soon after another, that show it
LOWER = 0.85  # the bound, for each of them
PATIENCE = 10  # times the bound, departures without a refusal before one more is tried, at most
STEP_SHARE = 0.15  # of the bound, that it grows by at once
LEAST_CAP = 4  # a pace that falls without end arrives at so few by itself
STORM = 0.25  # of what is in flight, on its way to the server
FEW = 6  # in flight: at and below it every number is alike, and only the same one, time after time, tells of a cap


class Crowd(Struct, eq=False):
    """The bound on attempts in flight. slots: the configured one. bound: the one in force, `slots` if no cap is known."""

    slots: int
    bound: int = 0
    capped: bool = False
    _good: float = 0.0  # a number in flight that the cap allows
    _held: float = 0.0  # the highest that it was held at
    peak: int = 0  # the highest number in flight in this slot of time
    next_peak: float = -inf  # when the slot ends, see `note_peak`
    _peaks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=SLOTS_KEPT))  # (until when, peak) of the slots before
    _score: float = 0.0  # by how much the ranks of refusals exceeded the middle
    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=ALIKE_REFUSALS))  # in flight at the latest refusals
    _banned: int = 0
    _next_ban: int = BANNED_REFUSALS
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
                self._held = max(self._held, self.bound)
                self.bound = min(self.slots, self.bound + self._step)
                self._step = min(2 * self._step, max(1, int(STEP_SHARE * self.bound)))
                self._grown_at = now
                if self.bound >= self.slots:
                    self.forget()

    def told(self, in_flight: int, wire: int = 0) -> None:
        """A refusal that speaks of parallel requests, of an attempt that left as the `in_flight`th. wire: as in `refused`."""
        self._told = True
        if wire > STORM * in_flight:
            self._overshot = True  # they overtake one another on the way
        elif in_flight <= self.bound + 1:
            self._overshot = False
        self._adopt(max(1, min(in_flight - 1, self.bound)))

    def flooded(self, in_flight: int, wire: int) -> None:
        """Most of what leaves is refused, the rest is let in, and the provider does not speak of a rate. wire: as in `refused`."""
        self._held = max(LEAST_CAP, in_flight - 1 - wire)
        self._adopt(int(self._held))
        self._overshot = True

    def refused(self, in_flight: int, left: float, *, even: bool, wire: int = 0, pace: float = 0.0) -> bool:
        """A refusal that says nothing, of an attempt that left at `left`; whether a cap explains it, so that the pace need not change.

        even: the pace was one that had been found to be safe, so that a refusal may only show that a test went too far. wire: how
        many more had left than the server can have seen. pace: departures in the second before.
        """
        if self.capped:
            return self._refused_under_cap(in_flight, wire)
        self._banned -= 1
        rank = self._rank(in_flight, left)
        if left - self._last < min(APART_SECONDS, APART_DEPARTURES / (pace + 1.0)):
            return False
        self._last = left
        self._score = max(0.0, self._score + rank - MIDDLE_RANK)
        recent = self._recent
        recent.append(in_flight)
        storm = wire > STORM * in_flight  # much of what is in flight are requests that are refused
        spread = 0.0 if in_flight <= FEW else max(1.0, ALIKE * in_flight, wire if storm else sqrt(wire))
        alike = len(recent) == ALIKE_REFUSALS and max(recent) - min(recent) <= spread
        enough = EVEN_ENOUGH if even else ENOUGH
        unlikely = in_flight < LEAST_CAP or in_flight >= self.slots or (self._banned > 0 and not storm)
        if unlikely or not alike or self._score < enough:
            return False
        self._held = max(LEAST_CAP, min(recent) - (wire if storm else 1))
        self._adopt(int(self._held))
        self._overshot = storm
        return True

    def _refused_under_cap(self, in_flight: int, wire: int) -> bool:
        departures, self._left = self._left, 0
        if departures < max(SOON, self.bound // 4):
            self._soon += 1
            self._unrelieved += self._soon == UNRELIEVED
        else:
            self._unrelieved = self._unrelieved if self._soon >= UNRELIEVED else 0
            self._soon = 0
        useless = self._soon >= SOON_REFUSALS
        if not self._told:
            useless = useless or self._unrelieved >= 2 or in_flight < DRIFTED * self._held - 1.5 - sqrt(wire)
        if in_flight >= min(self.bound, self._good) * (1 - BELOW) - 1.5 and not useless:
            lower = LOWER if self._soon > 1 else 1.0  # a first one only shows that a test went too far
            self._overshot = self._soon > 1
            self._adopt(max(1, round(min(in_flight - 1.0, lower * self.bound, max(self._good, 0.97 * self.bound - 1)))))
            return True
        self.forget()
        self._banned, self._next_ban = self._next_ban, 2 * self._next_ban
        return False

    def _rank(self, in_flight: int, left: float) -> float:
        """The share of slots of time in which fewer were in flight, of what was let in. The slot of the refused one is corrected."""
        peaks, below, count = self._peaks, 0, 0
        for place, (end, peak) in enumerate(peaks):
            if end < left:
                count += 1
                below += peak < in_flight
            else:
                peaks[place] = (end, min(peak, in_flight - 1))
                break
        else:
            self.peak = min(self.peak, in_flight - 1)
        return below / count if count >= FEW_SLOTS else MIDDLE_RANK

    def note_peak(self, now: float, seconds: float) -> None:
        """A slot of time is over: keep the highest number in flight that was seen in it. seconds: how long the next is at least."""
        self._peaks.append((now, self.peak))
        self.peak, self.next_peak = 0, now + seconds

    def retune(self, slots: int) -> None:
        """Another bound is configured."""
        self.slots = slots
        self.bound = min(self.bound, slots) if self.capped else slots

    def forget(self) -> None:
        """No cap is known any more."""
        self.capped, self.bound = False, self.slots
        self._told, self._soon, self._unrelieved = False, 0, 0
        self._forget_refusals()

    def forget_peaks(self) -> None:
        """What was in flight so far was on its way to be refused, and tells nothing of what is let in."""
        self.peak = 0
        self._forget_refusals()

    def _adopt(self, bound: int) -> None:
        self.capped, self.bound, self._good = True, bound, max(1.0, 0.97 * bound)
        self._step, self._left_since = 1, 0
        self._forget_refusals()

    def _forget_refusals(self) -> None:
        self._score = 0.0
        self._peaks.clear()
        self._recent.clear()

"""How long a lane's answers take, and whether it has fallen silent. Pure: `now` is an argument.

Silence shows in one of two ways. Of the last ten departures that should be back, eight are not. Or the lane is full, and all that is in
flight should have been back long ago: a lane with few slots has no ten departures that stay away. A lane that never answered is judged
by how long the answers of other lanes take, with more patience; alone it cannot be told from a slow one.
"""

from __future__ import annotations

from collections import deque
from math import inf

KEPT = 100  # answers of which the time is remembered
FEW = 10  # below this many nothing is known
SILENT_SECONDS = 3.0  # no shorter silence counts, however fast the answers were
WINDOW, MISSING = 10, 8  # of the last ten departures that should be back, eight are not
ALL_SECONDS, ALL_TIMES = 10.0, 4.0  # all that is in flight is older than this, and than so many times what nearly all answers took
OTHERS_TIMES = 3.0  # what nearly all answers of other lanes took, so many times, stands for a lane of which nothing is known


class Latency:
    """Times of the latest answers. add: takes one, in seconds. mean: 0 while unknown. p95: inf while unknown."""

    __slots__ = ("_departures", "_kept", "add", "mean", "p95")

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=KEPT)
        self.add = self._kept.append
        self._departures: deque[tuple[float, int]] = deque()  # how many had left, by clock
        self.mean = 0.0
        self.p95 = inf

    def go_on_from(self, before: Latency) -> None:
        """Begin with the times that others of the same lane took, as of their last `look`."""
        self._kept.extend(before._kept)
        self.mean, self.p95 = before.mean, before.p95

    def look(self, now: float, departures: int) -> None:
        """Take note of the clock and of how many attempts have left by now; about once a second."""
        self._departures.append((now, departures))
        if len(self._kept) >= FEW:
            ordered = sorted(self._kept)
            self.p95 = ordered[int(0.95 * len(ordered))]
            self.mean = sum(ordered) / len(ordered)

    def is_silent(self, now: float, flying: dict[int, float], since: int = 0, *, full: bool = False, others: float = inf) -> bool:
        """Whether the attempts that should be answered by now are not.

        flying: departure clock by number of those in flight, oldest first. since: number from which on they count. full: nothing more
        can leave before one of them is answered. others: seconds that nearly all answers of other lanes took, inf if nothing is known.
        """
        p95, least = (self.p95, SILENT_SECONDS) if self.p95 < inf else (OTHERS_TIMES * others, ALL_SECONDS)
        if p95 == inf or not self._departures:
            return False
        if full and len(flying) > 1:
            newest = next(reversed(flying))
            if newest >= since and now - flying[newest] > max(ALL_SECONDS, ALL_TIMES * p95):
                return True
        aged = now - max(p95, least)
        while len(self._departures) > 1 and self._departures[1][0] <= aged:
            self._departures.popleft()
        at, last = self._departures[0]
        if at > aged or last - since < WINDOW:
            return False
        return sum(number in flying for number in range(last - WINDOW, last)) >= MISSING

    def forget(self) -> None:
        """Start over: answers have become slower than all that was known."""
        self._kept.clear()
        self._departures.clear()
        self.p95 = inf

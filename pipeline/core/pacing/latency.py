"""How long a lane's answers take, and whether it has fallen silent. Pure: `now` is an argument."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

KEPT = 100  # answers of which the time is remembered
FEW = 10  # below this many nothing is known
SILENT_SECONDS = 3.0  # no shorter silence counts, however fast the answers were
WINDOW, MISSING = 10, 8  # of the last ten departures that should be back, eight are not


class Latency:
    """Times of the latest answers. add: takes one, in seconds. mean: 0 while unknown. p95: inf while unknown."""

    __slots__ = ("_departures", "_kept", "add", "mean", "p95")

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=KEPT)
        self.add = self._kept.append
        self._departures: deque[tuple[float, int]] = deque()  # how many had left, by clock
        self.mean = 0.0
        self.p95 = inf

    def look(self, now: float, departures: int) -> None:
        """Take note of the clock and of how many attempts have left by now; about once a second."""
        self._departures.append((now, departures))
        if len(self._kept) >= FEW:
            ordered = sorted(self._kept)
            self.p95 = ordered[int(0.95 * len(ordered))]
            self.mean = sum(ordered) / len(ordered)

    def is_silent(self, now: float, flying: Container[int], since: int = 0) -> bool:
        """Whether the attempts that should be answered by now are not.

        flying: numbers of those in flight. since: number from which on they count.
        """
        if self.p95 == inf or not self._departures:
            return False
        aged = now - max(self.p95, SILENT_SECONDS)
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

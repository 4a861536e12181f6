"""How providers count requests against a limit: three ways, each a pure function of the times at which requests arrive.

`admit(now)` takes the request and answers 0.0, or refuses it and answers the seconds after which one may pass. A refused
request is not counted.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol


class Window(Protocol):
    """A limit that one key has."""

    def admit(self, now: float) -> float:
        """0.0 if the request passes, else seconds until one may."""


class FixedWindow:
    """A counter that starts anew with every period of the clock."""

    def __init__(self, limit: int, period_seconds: float) -> None:
        self._limit, self._period = limit, period_seconds
        self._current, self._count = -1, 0

    def admit(self, now: float) -> float:
        """0.0 if the request passes, else seconds until one may."""
        current = math.floor(now / self._period)
        if current != self._current:
            self._current, self._count = current, 0
        if self._count < self._limit:
            self._count += 1
            return 0.0
        return (current + 1) * self._period - now


class SlidingWindow:
    """No more than the limit in any stretch of one period: the strictest of the three."""

    def __init__(self, limit: int, period_seconds: float) -> None:
        self._limit, self._period = limit, period_seconds
        self._passed: deque[float] = deque()

    def admit(self, now: float) -> float:
        """0.0 if the request passes, else seconds until one may."""
        passed = self._passed
        while passed and passed[0] <= now - self._period:
            passed.popleft()
        if len(passed) < self._limit:
            passed.append(now)
            return 0.0
        return passed[0] + self._period - now


class TokenBucket:
    """Refills evenly. depth: requests that may arrive at once; a tenth of the limit, as gateways commonly allow."""

    def __init__(self, limit: int, period_seconds: float) -> None:
        self._rate = limit / period_seconds
        self._depth = max(1.0, limit / 10)
        self._level, self._at = self._depth, -math.inf

    def admit(self, now: float) -> float:
        """0.0 if the request passes, else seconds until one may."""
        self._level = min(self._depth, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level >= 1.0:
            self._level -= 1.0
            return 0.0
        return (1.0 - self._level) / self._rate


WINDOWS: dict[str, type[FixedWindow | SlidingWindow | TokenBucket]] = {
    "fixed": FixedWindow,
    "sliding": SlidingWindow,
    "bucket": TokenBucket,
}

"""The three ways in which a limit is counted. Pure: `now` is an argument.

Amounts are requests or tokens; times are seconds on one clock that never goes back.
"""
# ruff: noqa: D102  `Window` says what the methods of its kinds do

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

from attrs import define, field

from pipeline.simulate.choices import LimitKind

SLACK = 1e-9  # what float sums may lose before a request that is due would be refused


class Window(Protocol):
    """One limit: at most `limit` in a period. capacity: the most that may pass at once."""

    limit: float
    period: float

    @property
    def capacity(self) -> float:
        """The most that may pass at once."""

    def free(self, now: float) -> float:
        """How much may pass now; never below 0."""

    def take(self, amount: float, now: float) -> None:
        """Count an amount, free or not."""

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much may pass if nobody else comes; infinite if it is more than the capacity."""

    def restored(self, now: float) -> float:
        """Seconds until all of the capacity is free again."""

    def retune(self, limit: float, period: float, now: float) -> None:
        """Keep another limit from now on; what was counted before stays counted."""


@define
class FixedWindow:
    """Counts from zero at every multiple of the period: twice the limit may pass around an edge."""

    limit: float
    period: float
    _start: float = -math.inf
    _used: float = 0.0

    @property
    def capacity(self) -> float:
        return self.limit

    def free(self, now: float) -> float:
        if now >= self._start + self.period:
            self._start = math.floor(now / self.period) * self.period
            self._used = 0.0
        return max(0.0, self.limit - self._used)

    def take(self, amount: float, now: float) -> None:
        self.free(now)
        self._used += amount

    def wait(self, amount: float, now: float) -> float:
        if amount > self.limit + SLACK:
            return math.inf
        return 0.0 if amount <= self.free(now) + SLACK else self.restored(now)

    def restored(self, now: float) -> float:
        self.free(now)
        return max(0.0, self._start + self.period - now) if self._used else 0.0

    def retune(self, limit: float, period: float, now: float) -> None:
        self.free(now)
        self.limit, self.period = limit, period


@define
class SlidingWindow:
    """Counts what passed in the last period, exactly: the half-open time from now - period, excluded, to now."""

    limit: float
    period: float
    _log: deque[tuple[float, float]] = field(factory=deque)
    _used: float = 0.0

    @property
    def capacity(self) -> float:
        return self.limit

    def free(self, now: float) -> float:
        log = self._log
        while log and log[0][0] <= now - self.period:
            self._used -= log.popleft()[1]
        return max(0.0, self.limit - self._used)

    def take(self, amount: float, now: float) -> None:
        self.free(now)
        self._log.append((now, amount))
        self._used += amount

    def wait(self, amount: float, now: float) -> float:
        if amount > self.limit + SLACK:
            return math.inf
        self.free(now)
        missing = amount + self._used - self.limit
        if missing <= SLACK:
            return 0.0
        for time, passed in self._log:
            missing -= passed
            if missing <= SLACK:
                return max(0.0, time + self.period - now)
        return self.period

    def restored(self, now: float) -> float:
        self.free(now)
        return max(0.0, self._log[-1][0] + self.period - now) if self._log else 0.0

    def retune(self, limit: float, period: float, now: float) -> None:
        self.free(now)
        self.limit, self.period = limit, period


@define
class TokenBucket:
    """Fills steadily, a whole limit in a period; counting never takes it below empty.

    burst_seconds: it holds what it fills in so long, and one at least; None is the whole period.
    """

    limit: float
    period: float
    burst_seconds: float | None = None
    _level: float = field(init=False)
    _at: float = -math.inf

    def __attrs_post_init__(self) -> None:
        self._level = self.capacity

    @property
    def capacity(self) -> float:
        return max(1.0, self.limit if self.burst_seconds is None else self.burst_seconds * self.limit / self.period)

    def free(self, now: float) -> float:
        if now > self._at:
            self._level = min(self.capacity, self._level + (now - self._at) * self.limit / self.period)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = max(0.0, self.free(now) - amount)

    def wait(self, amount: float, now: float) -> float:
        return math.inf if amount > self.capacity + SLACK else self._until(amount, now)

    def restored(self, now: float) -> float:
        return self._until(self.capacity, now)

    def retune(self, limit: float, period: float, now: float) -> None:
        self.free(now)
        self.limit, self.period = limit, period
        self._level = min(self._level, self.capacity)

    def _until(self, amount: float, now: float) -> float:
        missing = amount - self.free(now)
        return missing * self.period / self.limit if missing > SLACK else 0.0


def make_window(kind: LimitKind, limit: float, period: float, burst_seconds: float | None = None) -> Window:
    """A window of a kind. burst_seconds: of a token bucket."""
    if kind is LimitKind.FIXED_WINDOW:
        return FixedWindow(limit, period)
    if kind is LimitKind.SLIDING_WINDOW:
        return SlidingWindow(limit, period)
    return TokenBucket(limit, period, burst_seconds)

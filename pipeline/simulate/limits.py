"""A provider's limits: the three ways that limits are counted, and several at once. Pure: `now` is an argument.

Amounts are requests or tokens; times are seconds on one clock that never goes back.
"""
# ruff: noqa: D102  `Window` says what the methods of its kinds do

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from attrs import define, field
from msgspec import Struct

from pipeline.simulate.config import LimitKind

if TYPE_CHECKING:
    from pipeline.simulate.config import SimulatedLimits

SLACK = 1e-9  # what float sums may lose before a request that is due would be refused


class Window(Protocol):
    """One limit: at most `limit` in a period."""

    limit: float
    period: float

    def free(self, now: float) -> float:
        """How much may pass now; never below 0."""

    def take(self, amount: float, now: float) -> None:
        """Count an amount, free or not."""

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much may pass if nobody else comes; infinite if it is more than the limit."""

    def restored(self, now: float) -> float:
        """Seconds until all of the limit is free again."""


@define
class FixedWindow:
    """Counts from zero at every multiple of the period: twice the limit may pass around an edge."""

    limit: float
    period: float
    _start: float = -math.inf
    _used: float = 0.0

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


@define
class SlidingWindow:
    """Counts what passed in the last period, exactly: the half-open time from now - period, excluded, to now."""

    limit: float
    period: float
    _log: deque[tuple[float, float]] = field(factory=deque)
    _used: float = 0.0

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


@define
class TokenBucket:
    """Fills steadily, a whole limit in a period, and holds at most a whole limit; counting never takes it below empty."""

    limit: float
    period: float
    _level: float = field(init=False)
    _at: float = -math.inf

    def __attrs_post_init__(self) -> None:
        self._level = self.limit

    def free(self, now: float) -> float:
        if now > self._at:
            self._level = min(self.limit, self._level + (now - self._at) * self.limit / self.period)
            self._at = now
        return self._level

    def take(self, amount: float, now: float) -> None:
        self._level = max(0.0, self.free(now) - amount)

    def wait(self, amount: float, now: float) -> float:
        if amount > self.limit + SLACK:
            return math.inf
        return self._until(amount, now)

    def restored(self, now: float) -> float:
        return self._until(self.limit, now)

    def _until(self, amount: float, now: float) -> float:
        missing = amount - self.free(now)
        return missing * self.period / self.limit if missing > SLACK else 0.0


WINDOWS: dict[LimitKind, type[FixedWindow | SlidingWindow | TokenBucket]] = {
    LimitKind.FIXED_WINDOW: FixedWindow,
    LimitKind.SLIDING_WINDOW: SlidingWindow,
    LimitKind.TOKEN_BUCKET: TokenBucket,
}


class Level(Struct, frozen=True):
    """How one limit stands: the limit, what is left of it, and the seconds until it is whole again."""

    limit: float
    remaining: float
    reset_seconds: float


class Admission(Struct, frozen=True):
    """The answer to a request that wants to pass.

    wait_seconds: 0 where it passes; infinite where it never could. bound: "requests" or "tokens", the limit that refused
    it. requests, tokens: how the limits stand after it; None where there is none.
    """

    admitted: bool
    wait_seconds: float
    bound: str
    requests: Level | None
    tokens: Level | None


class Limits:
    """All limits of one provider, passed all at once or not at all."""

    def __init__(self, config: SimulatedLimits) -> None:
        self._count_refused = config.count_refused
        make = WINDOWS[config.kind]
        minute = config.window_seconds or 60.0
        per_minute, per_second = config.requests_per_minute, config.requests_per_second
        self._requests: list[Window] = []
        if per_minute is not None:
            self._requests.append(make(*_at_least_one(per_minute * minute / 60, minute)))
        if per_second is not None:
            self._requests.append(make(*_at_least_one(per_second, 1.0)))
        self._tokens: Window | None = None
        if config.tokens_per_minute is not None:
            self._tokens = make(config.tokens_per_minute * minute / 60, minute)

    def admit(self, tokens: int, now: float) -> Admission:
        """Let one request pass that is charged so many tokens, or refuse it."""
        wait, bound = max(((window.wait(1, now), "requests") for window in self._requests), default=(0.0, ""))
        if self._tokens is not None and (for_tokens := self._tokens.wait(tokens, now)) > wait:
            wait, bound = for_tokens, "tokens"
        if wait <= 0 or self._count_refused:
            for window in self._requests:
                window.take(1, now)
        if wait <= 0 and self._tokens is not None:
            self._tokens.take(tokens, now)
        return Admission(wait <= 0, wait, bound, _level(self._requests[0] if self._requests else None, now), _level(self._tokens, now))


def _at_least_one(limit: float, period: float) -> tuple[float, float]:
    """A limit below one in its period is one in a longer period: otherwise nothing would ever pass."""
    return (limit, period) if limit >= 1 else (1.0, period / limit)


def _level(window: Window | None, now: float) -> Level | None:
    return None if window is None else Level(window.limit, window.free(now), window.restored(now))

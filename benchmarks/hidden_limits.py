"""Providers whose limits nobody knows, on virtual time: what they let in, what they refuse, and what they say about it.

An independent model, apart from `pipeline.simulate`, so that a mistake in one is not hidden by the same mistake in the other.
Times are seconds on a clock that is a number. `refused_count`: refused requests count against the limit as well.
"""

# ruff: noqa: D102, ARG002  `Server` says what the methods of its kinds do, and not every kind needs all that it is told

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Protocol

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence


@frozen
class Room:
    """What a server knows of a limit after one request.

    wait: seconds until the refused request could pass, or None. broken: it answers with a 503, which is no word on limits.
    late: the refusal takes as long as an answer.
    """

    let_in: bool
    limit: float
    remaining: float
    reset: float
    wait: float | None = None
    broken: bool = False
    late: bool = False


class Server(Protocol):
    """A limit that is enforced. per_second: what it allows in the long run, now."""

    def take(self, now: float, cost: float) -> Room:
        """One request arrives."""

    def done(self, now: float) -> None:
        """One request that was let in is answered."""

    def per_second(self, now: float) -> float:
        """The rate that the limit allows."""


@frozen
class Plan:
    """How a limit changes: (from when, times the first amount)."""

    steps: Sequence[tuple[float, float]] = ()

    def factor(self, now: float) -> float:
        """The factor that holds now."""
        return next((factor for at, factor in reversed(self.steps) if now >= at), 1.0)


class Steady:
    """A limit of so much in a time, however many are in flight."""

    rate: float
    plan: Plan

    def per_second(self, now: float) -> float:
        return self.rate * self.plan.factor(now)

    def done(self, now: float) -> None:
        pass


@define
class Fixed(Steady):
    """Counts from zero at the edges of windows. phase: how far into its window the server is at the clock's zero."""

    rate: float
    period: float
    phase: float = 0.0
    refused_count: bool = False
    plan: Plan = field(factory=Plan)
    _cell: int = -1
    _used: float = 0.0

    def take(self, now: float, cost: float) -> Room:
        limit = self.per_second(now) * self.period
        cell = math.floor((now + self.phase) / self.period)
        if cell != self._cell:
            self._cell, self._used = cell, 0.0
        let_in = self._used + cost <= limit + 1e-9
        if let_in or self.refused_count:
            self._used += cost
        reset = (cell + 1) * self.period - self.phase - now
        return Room(let_in, limit, max(0.0, limit - self._used), reset, None if let_in else reset)


@define
class Sliding(Steady):
    """Counts what came in the last period."""

    rate: float
    period: float
    refused_count: bool = False
    plan: Plan = field(factory=Plan)
    _log: deque[tuple[float, float]] = field(factory=deque)
    _used: float = 0.0

    def take(self, now: float, cost: float) -> Room:
        limit = self.per_second(now) * self.period
        while self._log and self._log[0][0] <= now - self.period:
            self._used -= self._log.popleft()[1]
        let_in = self._used + cost <= limit + 1e-9
        wait = None if let_in else (self._log[0][0] + self.period - now if self._log else self.period)
        if let_in or self.refused_count:
            self._log.append((now, cost))
            self._used += cost
        reset = self._log[-1][0] + self.period - now if self._log else 0.0
        return Room(let_in, limit, max(0.0, limit - self._used), reset, wait)


@define
class Bucket(Steady):
    """Fills steadily and holds `seconds` of it, but one request at least."""

    rate: float
    seconds: float
    refused_count: bool = False
    plan: Plan = field(factory=Plan)
    least: float = 1.0
    _level: float | None = None
    _at: float = 0.0

    def take(self, now: float, cost: float) -> Room:
        rate = self.per_second(now)
        most = max(self.least, self.seconds * rate)
        level = most if self._level is None else min(most, self._level + (now - self._at) * rate)
        self._at = now
        let_in = level >= cost - 1e-9
        wait = None if let_in else (cost - level) / rate
        if let_in or self.refused_count:
            level = max(0.0, level - cost)
        self._level = level
        return Room(let_in, most, max(0.0, level), (most - level) / rate, wait)


@define
class InFlight:
    """At most so many at once. mean_latency: what makes a rate of it."""

    most: float
    mean_latency: float
    plan: Plan = field(factory=Plan)
    _now: int = 0

    def per_second(self, now: float) -> float:
        return self.most * self.plan.factor(now) / self.mean_latency

    def done(self, now: float) -> None:
        self._now -= 1

    def take(self, now: float, cost: float) -> Room:
        let_in = self._now < self.most * self.plan.factor(now)
        self._now += let_in
        return Room(let_in, self.most, max(0.0, self.most - self._now), 0.0)


@define
class Flaky:
    """A relay that answers a share of the requests with a 429 and a share with a 503, at random, whatever the pace.

    draws: uniform in [0, 1). late: a refusal takes as long as an answer. behind: the limit of the server that the others
    reach; None is no limit at all.
    """

    share: float
    draws: Sequence[float]
    at_most: float = 1e9  # a second, for the accounts
    broken: float = 0.0
    behind: Server | None = None
    wait: float = 0.5
    late: bool = False
    _next: int = 0

    def per_second(self, now: float) -> float:
        return self.at_most if self.behind is None else self.behind.per_second(now)

    def done(self, now: float) -> None:
        if self.behind is not None:
            self.behind.done(now)

    def take(self, now: float, cost: float) -> Room:
        self._next += 1
        drawn = self.draws[self._next % len(self.draws)]
        if drawn < self.share + self.broken:
            return Room(False, 0.0, 0.0, 0.0, wait=self.wait, broken=drawn >= self.share, late=self.late)
        return Room(True, 0.0, 0.0, 0.0) if self.behind is None else self.behind.take(now, cost)

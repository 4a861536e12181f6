"""All limits of one key, passed all at once or not at all. Pure: `now` is an argument.

A limit may change at a time (`changes`), other users of the key may take a share of it (`neighbour`), and the headers may describe
it over another period than the one it is enforced on (`told_seconds`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import define, field
from msgspec import Struct

from pipeline.simulate.windows import SlidingWindow, Window, make_window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.simulate.limits_config import SimulatedLimits, SimulatedNeighbour

PARALLEL = "parallel"  # the bound that an in-flight cap names
ARRIVALS_PER_SECOND = 10.0  # of a neighbour where no limit on requests says how many its share is
DAY_SECONDS = 86_400.0


class Charge(Struct, frozen=True):
    """What a request costs besides being one. tokens: what a limit on all tokens is charged when it arrives."""

    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Level(Struct, frozen=True):
    """How one limit stands: the limit, what is left of it, and the seconds until it is whole again."""

    limit: float
    remaining: float
    reset_seconds: float


class Admission(Struct, frozen=True):
    """The answer to a request that wants to pass.

    wait_seconds: 0 where it passes; infinite where it never could. bound: the limit that refused it: "requests", "tokens",
    "input_tokens", "output_tokens" or "parallel". The others: how the limits stand after it; None where there is none.
    """

    admitted: bool
    wait_seconds: float
    bound: str
    requests: Level | None = None
    tokens: Level | None = None
    input_tokens: Level | None = None
    output_tokens: Level | None = None


@define
class _Limit:
    """One limit of a config. what: what it counts. told: what the headers describe, if that is not the window itself."""

    what: str
    per_second: float
    period: float
    window: Window
    told: SlidingWindow | None

    def take(self, amount: float, now: float, *, passed: bool) -> None:
        self.window.take(amount, now)
        if passed and self.told is not None:
            self.told.take(amount, now)

    def retune(self, factor: float, now: float) -> None:
        self.window.retune(*_size(self.what, self.per_second * factor, self.period), now)
        if self.told is not None:
            self.told.retune(self.per_second * factor * self.told.period, self.told.period, now)

    def level(self, now: float) -> Level:
        if self.told is None:
            return Level(self.window.capacity, self.window.free(now), self.window.restored(now))
        left = self.told.free(now)
        return Level(self.told.limit, left, (self.told.limit - left) * self.told.period / self.told.limit)


@define
class Limits:
    """The limits of one key. started: the time from which changes and the neighbour's rests are counted."""

    config: SimulatedLimits
    started: float = 0.0
    in_flight: int = 0
    _limits: list[_Limit] = field(init=False)
    _factor: float = 1.0
    _neighbour: _Arrivals | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._limits = list(_limits_of(self.config))
        self._neighbour = _Arrivals(self.config.neighbour, self._limits, self.started) if self.config.neighbour.share else None

    def admit(self, charge: Charge, now: float) -> Admission:
        """Let one request pass, or refuse it. Who passed is in flight until `left`."""
        self._follow(now)
        if self.in_flight >= self._cap(now):
            return self._admission(0.0, PARALLEL, now)
        wait, bound = 0.0, ""
        for limit in self._limits:
            if (needed := limit.window.wait(_amount(limit.what, charge), now)) > wait:
                wait, bound = needed, limit.what
        for limit in self._limits:
            if not bound or (self.config.count_refused and limit.what == "requests"):
                limit.take(_amount(limit.what, charge), now, passed=not bound)
        self.in_flight += not bound
        return self._admission(wait, bound, now)

    def left(self) -> None:
        """One that passed has its answer, or its client is gone."""
        self.in_flight -= 1

    def _cap(self, now: float) -> float:
        """How many may be in flight now: at least one, whatever the neighbour holds."""
        if self.config.max_in_flight is None:
            return math.inf
        others = self.config.neighbour.share_at(now - self.started)
        return max(1, math.floor(self.config.max_in_flight * (self._factor - others)))

    def _follow(self, now: float) -> None:
        """Bring the limits to the present: what changed, and what the neighbour took."""
        factor = self.config.factor_at(now - self.started)
        if factor != self._factor:
            self._factor = factor
            for limit in self._limits:
                limit.retune(factor, now)
        if self._neighbour is not None:
            for time in self._neighbour.until(now):
                self._neighbour.take(time)

    def _admission(self, wait: float, bound: str, now: float) -> Admission:
        levels: dict[str, Level] = {}
        for limit in self._limits:
            levels.setdefault(limit.what, limit.level(now))
        return Admission(not bound, wait, bound, **levels)


class _Arrivals:
    """The requests of other users of the key: evenly spaced while they send. One that finds no room leaves nothing behind."""

    def __init__(self, config: SimulatedNeighbour, limits: list[_Limit], started: float) -> None:
        self._config, self._limits, self._started = config, limits, started
        rates = [limit.per_second for limit in limits if limit.what == "requests"]
        self._gap = 1 / (min(rates) * config.share if rates else ARRIVALS_PER_SECOND)
        self._longest = max((limit.window.period for limit in limits), default=0.0)
        self._next = 0  # the number of the next arrival

    def until(self, now: float) -> Iterator[float]:
        """The times of those that have come since the last call; those that every limit has forgotten are left out."""
        oldest = math.floor((now - self._longest - self._started) / self._gap)
        self._next = max(self._next, oldest)
        while (elapsed := self._next * self._gap) <= now - self._started:
            self._next += 1
            if self._config.share_at(elapsed):
                yield self._started + elapsed

    def take(self, time: float) -> None:
        """Count one arrival, if all limits have room for it."""
        shares = [1.0 if limit.what == "requests" else limit.per_second * self._config.share * self._gap for limit in self._limits]
        if all(limit.window.wait(share, time) <= 0 for limit, share in zip(self._limits, shares, strict=True)):
            for limit, share in zip(self._limits, shares, strict=True):
                limit.take(share, time, passed=True)


def _limits_of(config: SimulatedLimits) -> Iterator[_Limit]:
    """The limits that are set; of those on requests the one that the headers describe comes first."""
    minute = config.window_seconds or 60.0
    for what, amount, unit_seconds, period in (
        ("requests", config.requests_per_minute, 60.0, minute),
        ("requests", config.requests_per_second, 1.0, 1.0),
        ("requests", config.requests_per_day, DAY_SECONDS, DAY_SECONDS),
        ("tokens", config.tokens_per_minute, 60.0, minute),
        ("input_tokens", config.input_tokens_per_minute, 60.0, minute),
        ("output_tokens", config.output_tokens_per_minute, 60.0, minute),
    ):
        if amount is not None:
            per_second = amount / unit_seconds
            told = SlidingWindow(per_second * config.told_seconds, config.told_seconds) if config.told_seconds else None
            window = make_window(config.kind, *_size(what, per_second, period), config.burst_seconds)
            yield _Limit(what, per_second, period, window, told)


def _size(what: str, per_second: float, period: float) -> tuple[float, float]:
    """Limit and period. Less than one request in its period is one in a longer period: otherwise nothing would ever pass."""
    limit = per_second * period
    return (limit, period) if what != "requests" or limit >= 1 else (1.0, 1 / per_second)


def _amount(what: str, charge: Charge) -> int:
    return 1 if what == "requests" else int(getattr(charge, what))

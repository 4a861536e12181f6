"""Rate limits: may an attempt leave now, and if not, when. The only place that counts what left.

Every limit keeps two things: a pace (GCRA), which spreads departures, and an exact sliding log, which no lateness,
burst or refund can outwit. A lane is all-or-nothing over its limits. No clock lives here: `now` is an argument,
seconds of a clock that never goes back.
"""

from __future__ import annotations

from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Self

from attrs import define, frozen

from pipeline.core.window import MARGIN, SlidingLog

if TYPE_CHECKING:
    from collections.abc import Iterable

TICK_SECONDS = 0.010  # a gate that wakes for every ticket costs 300 µs a row at 3,000/s, one that wakes so often 75
CATCH_UP_SHARE = 0.05  # of the period: a late wake releases what was due meanwhile, but never more than this at once,
CATCH_UP_SECONDS = 0.25  # nor more than this: longer than a collection or a busy loop holds a wake, too short for a surge
NOISE_SECONDS = 1e-6  # float noise of the pace at any clock; the log, which is exact, does not depend on it


class Bound(StrEnum):
    """What can hold an attempt back; the values are the keys of the summary's `limited_by`."""

    REQUESTS_PER_SECOND = "requests_per_second"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    PAUSE = "pause"


@define(eq=False)
class Grant:
    """Leave for one attempt: what it holds of its lane's limits. Only the lane that gave it may change it.

    left: clock when it was given. sent: clock when the request is known to have left, `left` until then. tokens: what
    is charged, the estimate until it is settled.
    """

    left: float
    sent: float
    tokens: int


@define(eq=False)
class Wait:
    """No leave now. Nothing was taken of any limit.

    until: the earliest time at which the same attempt could pass, later than `now`. wake: when it pays to ask again:
    the same, unless many small wakes can be made one. bound: what holds it back longest.
    """

    until: float
    wake: float
    bound: Bound


@frozen
class Limit:
    """So much in any window of a period.

    amount: requests or tokens, by bound. period: seconds. burst: requests that may leave at once at rest; None stands
    for what is due within one tick.
    """

    bound: Bound
    amount: float
    period: float
    burst: float | None = None


class _Meter:
    """One limit's state. pace: `tat`, the clock at which the next departure is due (GCRA's theoretical arrival time).

    Source: ITU-T I.371, generic cell rate algorithm, virtual scheduling.
    """

    __slots__ = ("_burst", "_interval", "_refund", "_tat", "_tick_amount", "amount", "bound", "catch_up", "counts_tokens", "log", "period")

    def __init__(self, limit: Limit) -> None:
        self.bound = limit.bound
        self.amount = limit.amount
        self.period = limit.period * (1 + MARGIN)
        self.counts_tokens = limit.bound is Bound.TOKENS_PER_MINUTE
        self.catch_up = min(CATCH_UP_SHARE * limit.period, CATCH_UP_SECONDS)
        self.log = SlidingLog(limit.period)
        self._burst = limit.burst
        self._tick_amount = limit.amount / limit.period * TICK_SECONDS
        self._interval = self.period / limit.amount
        self._tat = -inf
        self._refund = 0.0  # seconds of the pace that were paid for and not used

    def advance(self, now: float, *, waited: bool) -> None:
        """Come to `now`. waited: somebody waited on the lane since the last time, so that being late earns what was due."""
        self.log.advance(now)
        if waited:
            self._tat = max(self._tat, now - self.catch_up)
        else:
            self._tat = max(self._tat, now)
            self._refund = 0.0

    def pace_at(self, cost: int) -> float:
        """When the pace lets `cost` leave. A request larger than the burst leaves alone, and the pace is paid afterwards."""
        at_once = self._tick_amount if self._burst is None else self._burst * cost
        if at_once > cost:
            return self._tat - (at_once - cost) * self._interval - NOISE_SECONDS
        return self._tat - NOISE_SECONDS

    def log_at(self, cost: int) -> float:
        """When the log lets `cost` leave."""
        excess = self.log.total + cost - self.amount
        return -inf if excess <= 0 else self.log.free_at(excess)

    def take(self, cost: int) -> None:
        """Let `cost` leave at the `now` of the last `advance`."""
        self.log.take(cost)
        self._charge(cost * self._interval)

    def settle(self, grant: Grant, now: float, tokens: int, sent: float, *, waited: bool) -> None:
        """Replace what a grant holds by what it really cost and when it really left."""
        self.log.advance(now)
        log = self.log
        old, new = (grant.tokens, tokens) if self.counts_tokens else (1, 1)
        log.correct(log.departure_cell(grant.left, grant.sent), old, log.departure_cell(grant.left, sent), new)
        if new > old:
            self._charge((new - old) * self._interval)
        elif new < old:
            self._give_back((old - new) * self._interval, now, waited=waited)

    def _charge(self, seconds: float) -> None:
        paid = min(self._refund, seconds)
        self._refund -= paid
        self._tat += seconds - paid

    def _give_back(self, seconds: float, now: float, *, waited: bool) -> None:
        """Make the next due sooner; what goes past `now` is kept for those who wait, and for nobody else."""
        ahead = max(0.0, min(seconds, self._tat - now))
        self._tat -= ahead
        if waited:
            self._refund = min(self._refund + seconds - ahead, self.period)


class Lane:
    """All limits of one key at one endpoint.

    The caller asks `admit` again and again at one `now`, in order, until it says Wait or nothing is left to send. A lane
    that said Wait last knows that somebody waits, and being woken late is made good; one that said yes last was at rest
    since, and time at rest earns nothing. The one who waits must be asked for first, or a large request starves.
    """

    __slots__ = ("_free", "_meters", "_now", "_paused_until", "_waited")

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        self._meters = tuple(_Meter(limit) for limit in limits)
        self._free = Grant(0.0, 0.0, 0)  # without limits nothing is held, and all may hold the same nothing
        self._now = -inf
        self._paused_until = -inf
        self._waited = False

    @classmethod
    def from_limits(
        cls,
        *,
        requests_per_second: float | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst: float | None = None,
    ) -> Self:
        """A lane with the limits that are given; None is no limit.

        Less than one request in a period is kept as one in so much longer a period.
        """
        wanted = (
            (Bound.REQUESTS_PER_SECOND, requests_per_second, 1.0),
            (Bound.REQUESTS_PER_MINUTE, requests_per_minute, 60.0),
            (Bound.TOKENS_PER_MINUTE, tokens_per_minute, 60.0),
        )
        return cls(
            Limit(bound, max(amount, 1.0), period / min(amount, 1.0), burst) for bound, amount, period in wanted if amount is not None
        )

    def refuses(self, tokens: int) -> str | None:
        """Why a request of so many tokens could never pass, or None if it will."""
        for meter in self._meters:
            if meter.counts_tokens and tokens > meter.amount:
                return f"needs about {tokens} tokens, more than a whole period allows ({meter.bound}: {meter.amount:g})"
        return None

    def admit(self, now: float, tokens: int) -> Grant | Wait:
        """Take one attempt's share of every limit, or of none.

        tokens: its estimate, which `refuses` has not refused. Raises ValueError if it could never pass.
        """
        if now < self._paused_until:
            return Wait(self._paused_until, self._paused_until, Bound.PAUSE)
        if not self._meters:
            return self._free
        if now != self._now:
            self._now = now
            for meter in self._meters:
                meter.advance(now, waited=self._waited)
        for meter in self._meters:
            cost = tokens if meter.counts_tokens else 1
            if meter.log.total + cost > meter.amount or meter.pace_at(cost) > now:
                self._waited = True
                return self._wait(now, tokens)
        for meter in self._meters:
            meter.take(tokens if meter.counts_tokens else 1)
        self._waited = False
        return Grant(now, now, tokens)

    def settle(self, grant: Grant, now: float, tokens: int | None = None, sent_at: float | None = None) -> None:
        """Correct what a grant holds; may be called again, as more becomes known.

        tokens: what the attempt really cost, None to leave the charge as it is. sent_at: clock when the request really
        left, None to leave it; it counts only where later than the ticket (connect and TLS come between).
        """
        if not self._meters:
            return
        real_tokens = grant.tokens if tokens is None else max(0, tokens)
        sent = grant.sent if sent_at is None else max(grant.sent, min(sent_at, now))
        for meter in self._meters:
            meter.settle(grant, now, real_tokens, sent, waited=self._waited)
        grant.tokens = real_tokens
        grant.sent = sent

    def pause(self, until: float) -> None:
        """Let nothing leave before `until`; of several pauses the longest holds. It counts as rest: afterwards no more than a burst."""
        if until > self._paused_until:
            self._paused_until = until
            self._waited = False

    def _wait(self, now: float, tokens: int) -> Wait:
        """Say which limit binds longest, and until when.

        What the log sets free is fetched at once or half a tick later, for the log remembers lateness a period long: at
        1 s, 10 ms ticks lose 0.75 %. The pace remembers none, and is asked once a tick.
        """
        until, wake, bound = -inf, -inf, Bound.PAUSE
        for meter in self._meters:
            cost = tokens if meter.counts_tokens else 1
            pace_at, log_at = meter.pace_at(cost), meter.log_at(cost)
            if log_at == inf:
                message = f"an attempt that could never pass was asked for: {self.refuses(tokens)}"
                raise ValueError(message)
            if max(pace_at, log_at) > until:
                until, bound = max(pace_at, log_at), meter.bound
                wake = max(until, now + (TICK_SECONDS if pace_at > log_at else TICK_SECONDS / 2))
        return Wait(until, wake, bound)

"""Rate limits: may an attempt leave now, and if not, when. The only place that counts what left.

A lane is all-or-nothing over its limits, each of which keeps a meter. No clock lives here: `now` is an argument,
seconds of a clock that never goes back.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from pipeline.core.pacing.meter import TICK_SECONDS, Bound, Limit, Meter
from pipeline.messages import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TICK_SECONDS", "Bound", "Grant", "Lane", "Limit", "Wait"]


class Wait(Struct, frozen=True, eq=False):
    """No leave now. Nothing was taken of any limit.

    until: the earliest time at which the same attempt could pass, later than `now`. wake: when it pays to ask again:
    the same, unless many small wakes can be made one. bound: what holds it back longest.
    """

    until: float
    wake: float
    bound: Bound


class Lane:
    """All limits of one key at one endpoint.

    The caller asks `admit` again and again at one `now`, in order, until it says Wait or nothing is left to send. A lane
    that said Wait last knows that somebody waits, and being woken late is made good; one that said yes last was at rest
    since, and time at rest earns nothing. The one who waits must be asked for first, or a large request starves.
    """

    __slots__ = ("_free", "_meters", "_most_tokens", "_now", "_paused_until", "_waited")

    def __init__(self, limits: Iterable[Limit] = ()) -> None:
        self._meters = tuple(Meter(limit) for limit in limits)
        self._most_tokens = min((int(meter.amount) for meter in self._meters if meter.counts_tokens), default=0)
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

        tokens: what the attempt really cost, None to leave the charge as it is; it counts for a whole period's allowance at
        most, for the provider let it pass. sent_at: clock when the request really left, None to leave it; it counts only
        where later than the ticket (connect and TLS come between).
        """
        if not self._meters:
            return
        real_tokens = grant.tokens if tokens is None else max(0, min(tokens, self._most_tokens))
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

"""Decides whether an attempt may leave a lane now, and if not, when.

A lane is all-or-nothing over its limits, each of which keeps a meter. No clock lives here: `now` is an argument,
seconds of a clock that never goes back.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.pacing.growing import Mode
from pipeline.core.pacing.learner import Learner
from pipeline.core.pacing.meter import TICK_SECONDS, Bound, Limit, Meter, Unit, costs_of
from pipeline.messages import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.core.pacing.meter import Costs

ONE_REQUEST = costs_of(0, 0)
UNBOUNDED = 1 << 30  # attempts in flight, where nothing limits them
MAX_TOKENS = 1 << 40  # that one attempt can be charged, where no limit counts them


class Wait(Struct, frozen=True, eq=False):
    """No leave now. Nothing was taken of any limit.

    until: the earliest time at which the same attempt could pass, later than `now`. wake: when it pays to ask again:
    the same, unless many small wakes can be made one. bound: what holds it back longest.
    """

    until: float
    wake: float
    bound: Bound


class Admission:
    """Lets attempts leave under all limits of a lane.

    The caller asks `admit` again and again at one `now`, in order, until it says Wait or nothing is left to send. A lane
    that said Wait last knows that somebody waits, and being woken late is made good; one that said yes last was at rest
    since, and time at rest earns nothing. The one who waits must be asked for first, or a large request starves.

    counts_tokens: whether a limit on tokens holds now.
    """

    __slots__ = ("_free", "_learner", "_meters", "_most", "_now", "_paused_until", "_slots", "_waited", "counts_tokens", "in_flight")

    def __init__(self, limits: Iterable[Limit] = (), *, slots: int = UNBOUNDED, learn: bool = False) -> None:
        self._meters = tuple(Meter(limit) for limit in limits)
        self._most = self._most_of_each()
        self.counts_tokens = any(meter.counts_tokens for meter in self._meters)
        self._free = Grant(0.0, 0.0, 0)  # without limits nothing is held, and all may hold the same nothing
        self._now = -inf
        self._paused_until = -inf
        self._waited = False
        self._slots = slots
        self._learner = Learner(slots, self._top(), ramp=not self._meters) if learn else None
        self.in_flight = 0

    def refuses(self, tokens: int, output_tokens: int = 0) -> str | None:
        """Why a request of this many tokens could never pass, or None if it will. output_tokens: the part that is the answer's."""
        for meter in self._meters:
            if meter.counts_tokens and (cost := costs_of(tokens, output_tokens)[meter.unit]) > meter.whole:
                return f"needs about {cost} tokens, more than a whole period allows ({meter.bound}: {meter.whole:g})"
        return None

    def passable(self, tokens: int, output_tokens: int = 0) -> tuple[int, int]:
        """The same amounts, but no more than could pass at once. tokens, output_tokens: as `admit` takes them."""
        _, most, fed, answer = self._most
        output = min(output_tokens, answer)
        return min(min(tokens - output_tokens, fed) + output, most), output

    def admit(self, now: float, tokens: int, output_tokens: int = 0) -> Grant | Wait:  # noqa: C901  once a row: a call costs 0.1 µs
        """Take one attempt's share of every limit, or of none.

        tokens: its estimate, which `refuses` has not refused. output_tokens: the part of them that is the answer's.
        Raises ValueError if it could never pass.
        """
        if now < self._paused_until:
            return Wait(self._paused_until, self._paused_until, Bound.PAUSE)
        learner = self._learner
        if learner is None:
            if not self._meters:
                self.in_flight += 1
                return self._free
        elif (learner.paces or learner.finder.mode is not Mode.OPEN) and (due := learner.due(now, self.in_flight)) > now:
            self._waited = True
            return Wait(due, max(due, now + TICK_SECONDS), Bound.LEARNED if learner.finder.outage is None else Bound.PAUSE)
        if now != self._now:
            self._now = now
            for meter in self._meters:
                meter.advance(now, waited=self._waited)
        costs = costs_of(tokens, output_tokens) if self.counts_tokens else ONE_REQUEST
        for meter in self._meters:
            cost = costs[meter.unit]
            if meter.log.total + cost > meter.amount or meter.pace_at(cost) > now:
                self._waited = True
                return self._wait(now, costs)
        for meter in self._meters:
            meter.take(costs[meter.unit])
        self._waited = False
        self.in_flight += 1
        grant = Grant(now, now, tokens, output_tokens, self.in_flight)
        if learner is not None:
            learner.finder.departed(grant, now)
            if learner.paces:
                learner.take(now, costs)
        return grant

    def admit_many(self, now: float, count: int) -> Sequence[Grant]:
        """Let up to `count` attempts leave together, if that is what asking for one after the other would do.

        It only knows the ordinary case: no limit counts tokens, and the learned pace holds nothing. Where it lets fewer leave, or none,
        `admit` must be asked, and says why.
        """
        learner = self._learner
        if self.counts_tokens or now < self._paused_until:
            return ()
        if learner is not None and (learner.paces or learner.finder.mode is not Mode.OPEN):
            return ()
        if now != self._now:
            self._now = now
            for meter in self._meters:
                meter.advance(now, waited=self._waited)
        for meter in self._meters:
            count = min(count, meter.at_once(now))
        if count <= 0:
            return ()
        for meter in self._meters:
            meter.take(count)
        self._waited = False
        flying = self.in_flight
        self.in_flight = flying + count
        if learner is None and not self._meters:
            return (self._free,) * count
        grants = [Grant(now, now, 0, 0, crowd) for crowd in range(flying + 1, flying + count + 1)]
        if learner is not None:
            learner.finder.departed_unpaced(grants, now)
        return grants

    def pause(self, until: float) -> None:
        """Let nothing leave before `until`; of several pauses the longest holds. It counts as rest: afterwards no more than a burst."""
        if until > self._paused_until:
            self._paused_until = until
            self._waited = False
            if self._learner is not None:
                self._learner.rest(until)

    @property
    def paused_until(self) -> float:
        """Clock until which nothing may leave because the provider asks for it; earlier than now if it does not."""
        outage = None if self._learner is None else self._learner.finder.outage
        return self._paused_until if outage is None or not outage.said else max(self._paused_until, outage.due)

    @property
    def shut_since(self) -> float:
        """Clock since when a limit has let nothing in; inf while it does."""
        outage = None if self._learner is None else self._learner.finder.outage
        return inf if outage is None else outage.since

    @property
    def concurrency(self) -> int:
        """How many attempts may be in flight now. The caller holds to it; `admit` does not."""
        return self._slots if self._learner is None else self._learner.finder.crowd.bound

    @property
    def at_once(self) -> int:
        """How many more attempts may leave in one group."""
        return UNBOUNDED

    def _counts_tokens(self) -> bool:
        told = self._learner is not None and self._learner.counts_tokens
        return told or any(meter.counts_tokens for meter in self._meters)

    def _top(self) -> float:
        """The requests a second that the limits allow."""
        return min((meter.amount / meter.period for meter in self._meters if not meter.counts_tokens), default=inf)

    def _most_of_each(self) -> Costs:
        """The least of the amounts that limit each unit: what one attempt can be charged at most."""
        requests, tokens, fed, output = (
            min((int(meter.whole) for meter in self._meters if meter.unit == unit), default=MAX_TOKENS) for unit in Unit
        )
        return (requests, min(tokens, fed + output), fed, output)

    def _wait(self, now: float, costs: Costs) -> Wait:
        """Say which limit binds longest, and until when.

        What the log sets free is fetched at once or half a tick later, for the log remembers lateness a period long: at
        1 s, 10 ms ticks lose 0.75 %. The pace remembers none, and is asked once a tick.
        """
        until, wake, bound = -inf, -inf, Bound.PAUSE
        for meter in self._meters:
            cost = costs[meter.unit]
            pace_at, log_at = meter.pace_at(cost), meter.log_at(cost)
            if log_at == inf:
                message = f"an attempt that could never pass was asked for: {self.refuses(costs[1], costs[3])}"
                raise ValueError(message)
            if max(pace_at, log_at) > until:
                until, bound = max(pace_at, log_at), meter.bound
                wake = max(until, now + (TICK_SECONDS if pace_at > log_at else TICK_SECONDS / 2))
        return Wait(until, wake, bound)

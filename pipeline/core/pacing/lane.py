"""Rate limits: may an attempt leave now, and if not, when. The only place that counts what left.

A lane is all-or-nothing over its limits, each of which keeps a meter. No clock lives here: `now` is an argument,
seconds of a clock that never goes back.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from pipeline.core.pacing.findings import Learned
from pipeline.core.pacing.growing import Mode
from pipeline.core.pacing.learner import CONFIGURED, Learner
from pipeline.core.pacing.meter import TICK_SECONDS, Bound, Limit, Meter, Unit, costs_of, limits_from
from pipeline.messages import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.core.answers.quotas import ProviderLimits
    from pipeline.core.pacing.meter import Costs

__all__ = ["TICK_SECONDS", "UNBOUNDED", "Bound", "Grant", "Lane", "Learned", "Limit", "Wait"]

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


class Lane:
    """All limits of one key at one endpoint.

    The caller asks `admit` again and again at one `now`, in order, until it says Wait or nothing is left to send. A lane
    that said Wait last knows that somebody waits, and being woken late is made good; one that said yes last was at rest
    since, and time at rest earns nothing. The one who waits must be asked for first, or a large request starves.

    Every grant ends in exactly one call of `answered`, `refused` or `lost`, after which it counts as in flight no longer.
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

    @classmethod
    def from_limits(
        cls,
        *,
        requests_per_second: float | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        input_tokens_per_minute: float | None = None,
        output_tokens_per_minute: float | None = None,
        burst: float | None = None,
        max_in_flight: int = UNBOUNDED,
        learn: bool = False,
    ) -> Self:
        """A lane with the limits that are given; None means no limit. learn: find the pace that the provider allows under them.

        Less than one request in a period is kept as one in so much longer a period.
        """
        limits = limits_from(
            requests_per_second=requests_per_second,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            input_tokens_per_minute=input_tokens_per_minute,
            output_tokens_per_minute=output_tokens_per_minute,
            burst=burst,
        )
        return cls(limits, slots=max_in_flight, learn=learn)

    # ---- what may leave --------------------------------------------------------------------------------------------

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
    def concurrency(self) -> int:
        """How many attempts may be in flight now. The caller holds to it; `admit` does not."""
        return self._slots if self._learner is None else self._learner.finder.crowd.bound

    # ---- what came of it -------------------------------------------------------------------------------------------

    def settle(
        self, grant: Grant, now: float, tokens: int | None = None, sent_at: float | None = None, output_tokens: int | None = None
    ) -> None:
        """Correct what a grant holds; may be called again, as more becomes known.

        tokens, output_tokens: what the attempt really cost, None to leave the charge as it is; it counts for a whole
        period's allowance at most, for the provider let it pass. sent_at: clock when the request really left, None to leave
        it; it counts only where later than the ticket (connect and TLS come between).
        """
        if not self.corrects:
            return
        sent = grant.sent if sent_at is None else max(grant.sent, min(sent_at, now))
        held = real = ONE_REQUEST
        if self.counts_tokens and grant.tokens:  # nothing was charged for one that left before a limit counted tokens
            held = costs_of(grant.tokens, grant.output)
            real_tokens = grant.tokens if tokens is None else max(0, min(tokens, self._most[1]))
            real_output = grant.output if output_tokens is None else max(0, min(output_tokens, self._most[3]))
            real = costs_of(real_tokens, min(real_output, real_tokens))
            _, grant.tokens, _, grant.output = real
            if self._learner is not None and held != real:
                self._learner.settled(held, real)
        for meter in self._meters:
            meter.settle(grant, now, held, real, sent, waited=self._waited)
        grant.sent = sent

    def answered(self, grant: Grant, now: float) -> bool:
        """Note that the provider answered an attempt, and so had let it in: a result, or a failure that is the row's own.

        Whether it pays to read now what the headers of the answer say of the limits, and to tell `news`.
        """
        self.in_flight -= 1
        learner = self._learner
        if learner is None:
            return False
        learner.finder.admitted(grant, now)
        return now >= learner.next_news

    def answered_together(self, count: int, now: float) -> bool:
        """The same of several attempts, while nothing is shut: see `is_open`."""
        self.in_flight -= count
        learner = self._learner
        if learner is None:
            return False
        learner.finder.admitted_together(count)
        return now >= learner.next_news

    @property
    def is_open(self) -> bool:
        """Whether no answer is awaited that shows that the provider lets something in again."""
        return self._learner is None or self._learner.finder.outage is None

    @property
    def corrects(self) -> bool:
        """Whether anything depends on what an attempt really cost, or on when it really left."""
        return bool(self._meters) or self.counts_tokens

    def refused(
        self,
        grant: Grant,
        now: float,
        retry_after: float | None = None,
        said: ProviderLimits | None = None,
        *,
        parallel: bool = False,
    ) -> None:
        """Note that the provider refused an attempt because of a limit (a 429, or throttling under another status).

        retry_after: seconds that it asks to wait. said: what the refusal's own headers say of the limits. parallel: it
        speaks of too many requests at once, which lowers `concurrency` and pauses nobody.
        """
        self.in_flight -= 1
        if self._learner is not None:
            self._learner.refused(grant, now, retry_after, said, parallel=parallel)
            self.counts_tokens = self._counts_tokens()
        elif retry_after is not None and not parallel:
            self.pause(now + retry_after)

    def lost(self, grant: Grant, now: float, *, busy: bool = False) -> None:
        """Note that an attempt ended in a way that says nothing of the pace: a timeout, a lost connection, a 5xx.

        busy: the provider said that it is too busy (503, 529), which is also what a cap on attempts at once may say.
        """
        self.in_flight -= 1
        if self._learner is not None:
            finder = self._learner.finder
            (finder.busy if busy else finder.lost)(grant, now)

    def news(self, grant: Grant, now: float, said: ProviderLimits | None) -> None:
        """Take note of what an answer's headers say of the limits, None if nothing. They were true when its request arrived."""
        if self._learner is not None:
            self._learner.news(grant, now, said)
            self.counts_tokens = self._counts_tokens()

    @property
    def pace(self) -> tuple[float, str]:
        """How many requests a second may leave at most, inf without a bound, and why, in words."""
        top = min((meter.amount / meter.log.period for meter in self._meters if not meter.counts_tokens), default=inf)
        return (top, CONFIGURED) if self._learner is None else self._learner.pace(top)

    # ---- while running ---------------------------------------------------------------------------------------------

    def retune(self, limits: Iterable[Limit], now: float, *, slots: int | None = None) -> None:
        """Put other limits in force. What has left still counts under a limit of the same bound and period as before."""
        before = {(meter.bound, meter.log.period): meter for meter in self._meters}
        meters = []
        for limit in limits:
            meter = before.get((limit.bound, limit.period))
            if meter is None:
                meter = Meter(limit)
            else:
                meter.retune(limit, now)
            meters.append(meter)
        self._meters = tuple(meters)
        self._most = self._most_of_each()
        self.counts_tokens = self._counts_tokens()
        self._now = -inf
        if slots is not None:
            self._slots = slots
        if self._learner is not None:
            self._learner.retune(self._top(), self._slots)

    @property
    def learned(self) -> Learned | None:
        """What was found out about the provider's limits, or None. Plain values, to be kept for `restore`."""
        return None if self._learner is None else self._learner.learned

    def restore(self, learned: Learned, now: float) -> None:
        """Go on from what an earlier run found out."""
        if self._learner is not None:
            self._learner.restore(learned, now)

    # ---- inside ----------------------------------------------------------------------------------------------------

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

"""One limit's meter: a pace (GCRA) that spreads departures, and an exact log that no lateness, burst or refund can outwit.

Here too `now` is an argument, and a meter decides nothing: it says when its limit would let a cost leave.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.pacing.sliding_log import CELLS_PER_PERIOD, MARGIN, SEND_SLACK_CELLS, SlidingLog

if TYPE_CHECKING:
    from pipeline.core.pacing.permits import Permits
    from pipeline.messages import Grant

TICK_SECONDS = 0.010  # a gate that wakes for every ticket costs 300 µs a row at 3,000/s, one that wakes so often 75
CATCH_UP_SHARE = 0.05  # of the period: a late wake releases what was due meanwhile, but never more than this at once,
CATCH_UP_SECONDS = 0.25  # nor more than this: longer than a collection or a busy loop holds a wake, too short for a surge
LEAST_PERMITS = 1e-3  # stands for none in the pace, so that what is owed to it survives a while without permits
NOISE_SECONDS = 1e-6  # float noise of the pace at any clock; the log, which is exact, does not depend on it


class Bound(StrEnum):
    """What can hold an attempt back; the values are the keys of the summary's `limited_by`."""

    REQUESTS_PER_SECOND = "requests_per_second"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_MINUTE = "tokens_per_minute"
    INPUT_TOKENS_PER_MINUTE = "input_tokens_per_minute"
    OUTPUT_TOKENS_PER_MINUTE = "output_tokens_per_minute"
    LEARNED = "learned"  # the pace that was found under a limit that is set too high, or not at all
    PAUSE = "pause"


class Unit(IntEnum):
    """What a limit counts: the place of its cost in the cost vector of an attempt (`costs_of`)."""

    REQUESTS = 0
    TOKENS = 1
    INPUT_TOKENS = 2
    OUTPUT_TOKENS = 3


Costs = tuple[int, int, int, int]
_UNITS = {
    Bound.TOKENS_PER_MINUTE: Unit.TOKENS,
    Bound.INPUT_TOKENS_PER_MINUTE: Unit.INPUT_TOKENS,
    Bound.OUTPUT_TOKENS_PER_MINUTE: Unit.OUTPUT_TOKENS,
}


def costs_of(tokens: int, output: int) -> Costs:
    """What one attempt costs in every unit. output: the part of its tokens that is the answer's."""
    return (1, tokens, tokens - output, output)


class Limit(Struct, frozen=True):
    """So much in any window of a period.

    amount: requests or tokens, by bound. period: seconds. burst: requests that may leave at once at rest; None stands
    for what is due within one tick.
    """

    bound: Bound
    amount: float
    period: float
    burst: float | None = None


def limits_from(
    *,
    requests_per_second: float | None = None,
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    input_tokens_per_minute: float | None = None,
    output_tokens_per_minute: float | None = None,
    burst: float | None = None,
) -> list[Limit]:
    """The limits of a lane; None is no limit. Less than one request in a period is kept as one in so much longer a period."""
    wanted = (
        (Bound.REQUESTS_PER_SECOND, requests_per_second, 1.0),
        (Bound.REQUESTS_PER_MINUTE, requests_per_minute, 60.0),
        (Bound.TOKENS_PER_MINUTE, tokens_per_minute, 60.0),
        (Bound.INPUT_TOKENS_PER_MINUTE, input_tokens_per_minute, 60.0),
        (Bound.OUTPUT_TOKENS_PER_MINUTE, output_tokens_per_minute, 60.0),
    )
    return [Limit(bound, max(amount, 1.0), period / min(amount, 1.0), burst) for bound, amount, period in wanted if amount is not None]


class Meter:
    """One limit's state. pace: `tat`, the clock at which the next departure is due (GCRA's theoretical arrival time).

    Source: ITU-T I.371, generic cell rate algorithm, virtual scheduling.
    """

    __slots__ = (
        "_burst",
        "_interval",
        "_prompt",
        "_refund",
        "_tat",
        "_tick_amount",
        "amount",
        "bound",
        "catch_up",
        "counts_tokens",
        "log",
        "period",
        "unit",
        "whole",
    )

    def __init__(self, limit: Limit) -> None:
        self.bound = limit.bound
        self.unit = int(_UNITS.get(limit.bound, Unit.REQUESTS))  # a plain int indexes twice as fast as an enum's member
        self.counts_tokens = self.unit != Unit.REQUESTS
        self.log = SlidingLog(limit.period)
        self._tat = -inf
        self._refund = 0.0  # seconds of the pace that were paid for and not used
        self._set(limit)

    def _set(self, limit: Limit) -> None:
        self.amount = self.whole = limit.amount  # they differ where others hold a part of the limit
        self.period = limit.period * (1 + MARGIN)
        self.catch_up = min(CATCH_UP_SHARE * limit.period, CATCH_UP_SECONDS)
        self._burst = limit.burst
        self._tick_amount = limit.amount / limit.period * TICK_SECONDS
        self._interval = self.period / limit.amount
        self._prompt = limit.period * (SEND_SLACK_CELLS - 1) / CELLS_PER_PERIOD  # a send so soon moves no departure

    def retune(self, limit: Limit, now: float) -> None:
        """Put another amount in force from `now` on; what has left still counts.

        limit: has the bound and the period of the one before. What was already owed to the pace is owed at the new one.
        """
        before = self._interval
        self._set(limit)
        if self._tat > now:
            self._tat = now + (self._tat - now) * self._interval / before
        self._refund *= self._interval / before

    # ---- where processes share the limit: permits that change hands (see `permits`) --------------------------------

    def hold(self, amount: int, now: float) -> None:
        """Send with so many permits of the whole limit from `now` on."""
        before = self._interval
        self.amount = amount
        self._interval = self.period / max(amount, LEAST_PERMITS)
        self._tick_amount = amount / self.log.period * TICK_SECONDS
        if self._tat > now:
            self._tat = now + (self._tat - now) * self._interval / before
        self._refund *= self._interval / before

    def receive(self, permits: Permits, now: float) -> None:
        """Take permits over from another holder."""
        self.log.advance(now)
        for wait, count in permits:
            if wait > 0:
                self.log.take_over(now + wait, count)
        self.hold(int(self.amount) + sum(count for _, count in permits), now)

    def give_back(self, count: int, now: float, before: float = inf) -> Permits:
        """Part with at most so many permits: those that were not used first, then the others evenly over their ages.

        before: clock; what left later may still have to be corrected, so its permits stay.
        """
        self.log.advance(now)
        held = int(self.amount)
        count = max(0, min(count, held))
        unused = min(count, max(0, held - self.log.total))
        back = [(0.0, unused)] if unused else []
        if count > unused:
            back += [(until - now, part) for until, part in self.log.hand_over(count - unused, before)]
        if back:
            self.hold(held - sum(part for _, part in back), now)
        return back

    def ages(self, now: float, steps: int, before: float) -> Permits:
        """What it holds and has used before that clock, in few numbers, each rounded to later."""
        self.log.advance(now)
        return [(until - now, count) for until, count in self.log.ages(steps, before)]

    def set_aside(self, grant: Grant, cost: int, now: float) -> None:
        """Take the permits of an attempt that has not left yet out of what is held, until `departs` says what became of it."""
        self.log.advance(now)
        self.log.set_aside(self.log.departure_cell(grant.left, grant.sent), cost)
        self.amount -= cost

    def departs(self, grant: Grant, cost: int, sent: float | None, now: float) -> None:
        """Hold the permits of an attempt again that was set aside, as used when it left. sent: None if it never did."""
        self.log.advance(now)
        if sent is not None:
            self.log.put(self.log.departure_cell(grant.left, sent), cost)
        self.amount += cost

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

    def at_once(self, now: float) -> int:
        """How many requests may leave at the `now` of the last `advance`: as many as if they were asked for one by one."""
        room = int(self.amount - self.log.total)
        late = now - self.pace_at(1)
        if room <= 0 or late < 0:
            return 0
        return min(room, int((late + self._refund) / self._interval) + 1)

    def log_at(self, cost: int) -> float:
        """When the log lets `cost` leave."""
        excess = self.log.total + cost - self.amount
        return -inf if excess <= 0 else self.log.free_at(excess)

    def take(self, cost: int) -> None:
        """Let `cost` leave at the `now` of the last `advance`."""
        self.log.take(cost)
        if self._refund:
            self._charge(cost * self._interval)
        else:
            self._tat += cost * self._interval

    def settle(self, grant: Grant, now: float, held: Costs, real: Costs, sent: float, *, waited: bool) -> None:
        """Replace what a grant holds by what it really cost and when it really left."""
        if not self.counts_tokens and sent - grant.left < self._prompt:
            return
        self.log.advance(now)
        log = self.log
        old, new = held[self.unit], real[self.unit]
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

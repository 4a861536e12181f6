"""What a provider's headers say of one limit, made into a pace. No clock: times are arguments.

Theory of operation. Headers say limit, remaining and reset, and they say neither the period nor who else uses the key.

- They were true when the request arrived, which was when it left; answers overtake one another, so an older word than the last
  is ignored where the limit has changed.
- The period is a minute until the words show another: `reset` of a bucket is used / rate, of a fixed window the time to its
  edge, and some say the whole period every time. It takes five answers that agree. "Nothing remains" is cut off at zero and
  says nothing of the period.
- What is used beyond our own is somebody else's, by whichever reading of the window accounts for more of ours: else we
  would take ourselves for a neighbour.
- A brake for a limit that is nearly used up never stops the traffic, for that would stop the news as well.
- A period of an hour or more is a quota: it is not spread, and the wait that its refusal names is for the gate to judge.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from math import inf, log
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.answers.quotas import Quota

SECOND, MINUTE = 1.0, 60.0
PERIODS = (1.0, 10.0, 60.0, 3600.0, 86_400.0)
QUOTA_PERIOD = 3600.0  # from here on it is not a pace
SHARE = 0.995  # of what is announced, that is used
AGREE = 1.15  # answers agree on a period if all of them are within this
ANSWERS = 5  # that must agree
TINY, TINY_ANSWERS = 6.0, 3  # a limit below this is not taken for one of a minute before this many answers
FULL = 0.0025  # of a limit: with less room in our own window, it is full
KEPT_ANSWERS = 60
NOBODY = 0.02  # of a limit: others that use less are nobody
UNSEEN = 0.01  # of a limit: so much of ours may have gone unseen
LOW = 0.03  # of a limit: with less remaining it is nearly used up
LEAST_BRAKE, OWN_BRAKE = 0.2, 0.95  # the second where we alone have used it up: what is enforced may be shorter than what is told
LEAST_SHARE, MOST_SHARE = 0.02, 1.3  # of a limit's pace, between which a fixed window's rest is spent
SAME_LIMIT = 0.1  # of a limit: a window that was found is so near to the one that is announced
OVERTAKEN_SECONDS, OVERTAKEN_SHARE = 0.05, 0.01  # requests overtake one another by so much on their way, the second of a period
CHANGED = 0.005  # of a limit: less is rounding
MOVED_SECONDS = 1.5  # the edge of a window of a second moves so far soon, one of a minute does not
EDGE_SECONDS = 5.0  # two edges nearer than this are not a period
SAME_EDGE_SECONDS = 1.1  # one edge, told in whole seconds


class Announced(Struct, eq=False):
    """One limit as it was announced. own: how much of this run's left from a time up to another; None where that is not known.

    rate: a second, None before there was any word. remaining_share: of the limit, by the last word.
    """

    own: Callable[[float, float], float] | None = None
    rate: float | None = None
    judged: bool = False
    limit: float = 0.0
    period: float = MINUTE
    remaining_share: float = 1.0
    _heard: float = -inf
    _edges: bool = True  # a fixed window, whose reset is its edge
    _samples: deque[tuple[float, float, float, float]] = field(default_factory=lambda: deque(maxlen=KEPT_ANSWERS))
    _by_ratio: bool = False  # reset is used / rate
    _gap: float = inf  # the least distance between two edges
    _longest_reset: float = 0.0
    _others: float | None = None
    _enforced: float | None = None

    def news(self, left: float, now: float, quota: Quota, *, let_in: bool) -> bool:
        """Take note of what the answer to a request that left at `left` says; whether the limit itself has changed."""
        limit, remaining = quota.limit, quota.remaining
        if limit is None or limit <= 0:
            return False
        changed = abs(limit - self.limit) > CHANGED * limit
        if left < self._heard and changed:
            return False
        self._heard = max(self._heard, left)
        self.limit = limit
        if remaining is None:
            self._set(limit / self.period)
            return changed
        remaining = min(remaining, limit)
        self.remaining_share = remaining / limit
        if quota.period is not None:
            self.period, self._edges = quota.period, False
        elif self._enforced is not None:
            changed = changed or self.period != self._enforced
            self.period = self._enforced
        elif quota.reset_seconds is not None and let_in:
            period, self._edges = self._period_of(left, limit, limit - remaining, quota.reset_seconds)
            changed = changed or period != self.period
            self.period = period
        self._set(self._pace(left, now, limit, remaining, quota.reset_seconds))
        return changed

    def is_enforced(self, limit: float, period: float, *, edges: bool) -> None:
        """A window was found by its refusals. If it lets in as much as is announced, then this is its period."""
        if self.limit and abs(limit - self.limit) <= SAME_LIMIT * self.limit:
            self._enforced, self._edges, self.judged = period, edges, True

    @property
    def used_up(self) -> bool:
        """Whether nothing remains, so that a refusal is no surprise. In a window of a second that is so all the time."""
        return self.remaining_share <= LOW and self.rate not in (None, inf) and self.period > SECOND

    def _set(self, rate: float) -> None:
        if self.limit < TINY and not self.judged and self.period == MINUTE:
            return
        self.rate = inf if self.period >= QUOTA_PERIOD else SHARE * rate

    # ---- the pace --------------------------------------------------------------------------------------------------

    def _pace(self, left: float, now: float, limit: float, remaining: float, reset: float | None) -> float:
        period, own = self.period, self.own
        full = limit / period
        if own is None or period >= QUOTA_PERIOD:
            return full * max(LEAST_BRAKE, remaining / (LOW * limit)) if remaining < LOW * limit else full
        edges = self._edges and reset is not None
        edge = left + (reset or 0.0)
        seen = left + min(OVERTAKEN_SECONDS, OVERTAKEN_SHARE * period)
        ours = own(left - period, seen)
        if edges:
            ours = max(ours, own(min(left, edge - period), seen))
        if not edges:
            room = limit - own(now - period, now)
            full *= max(OWN_BRAKE, min(1.0, (room + 0.5) / (FULL * limit)))
        others = max(0.0, limit - remaining - ours - max(1.5, UNSEEN * limit))
        if others < max(2.0, NOBODY * limit):
            return full
        sent_since = own(left + 1e-9, now)
        if edges and edge > now + 0.3:
            spent = others / max(1.0, left - (edge - period))
            self._others = spent if self._others is None else self._others + 0.1 * (spent - self._others)
            rest = remaining - sent_since - self._others * (edge - left)
            pace = min(MOST_SHARE * full, max(LEAST_SHARE * full, rest / (edge - now)))
        else:
            pace = max(LEAST_SHARE * full, (limit - others) / period)
        still = remaining - sent_since + (0.0 if edges else own(left - period, now - period))
        return pace * max(LEAST_BRAKE, still / (LOW * limit)) if still < LOW * limit else pace

    # ---- the period ------------------------------------------------------------------------------------------------

    def _period_of(self, left: float, limit: float, used: float, reset: float) -> tuple[float, bool]:
        """The period that the words imply, and whether `reset` is the edge of a fixed window."""
        samples = self._samples
        samples.append((left, limit, used, reset))
        lefts = [left for left, _, _, _ in samples]
        watched = max(lefts) - min(lefts)
        if len(samples) < (ANSWERS if limit >= TINY else TINY_ANSWERS):
            return self.period, self._edges
        self.judged = True
        ratios = sorted(limit * reset / used for _, limit, used, reset in samples if used > 0.5 and reset > 0 and used < limit)
        if len(ratios) >= ANSWERS and len({used for _, _, used, _ in samples}) >= 4:
            tenth = len(ratios) // 10
            self._by_ratio = ratios[-1 - tenth] < AGREE * ratios[tenth]
            if self._by_ratio:
                return _nearest(ratios[len(ratios) // 2]), False
        if self._by_ratio:
            return self.period, False  # a limit that is used up says nothing new
        resets = [reset for _, _, _, reset in samples]
        if min(resets) > 0.95 * max(resets) and watched > 2:
            return _nearest(max(resets)), False
        self._longest_reset = max(self._longest_reset, *resets)
        edges = [left + reset for left, _, _, reset in samples]
        if self._longest_reset < SAME_EDGE_SECONDS and max(edges) - min(edges) > MOVED_SECONDS:
            return SECOND, True
        if self._longest_reset > 11.0 or watched > 2.0 * self._longest_reset + 1.0:
            return _nearest(self._longest_reset), True
        self._gap = min(self._gap, _gap_between_edges(sorted(edges)))
        return (self.period if self._gap == inf else _nearest(self._gap)), True


def _gap_between_edges(edges: list[float]) -> float:
    """The least distance between two edges that were both named twice; inf if there are none."""
    groups: list[list[float]] = []
    for edge in edges:
        if groups and edge - groups[-1][0] < SAME_EDGE_SECONDS:
            groups[-1].append(edge)
        else:
            groups.append([edge])
    named = [group[0] for group in groups if len(group) > 1]
    return min((later - sooner for sooner, later in pairwise(named) if later - sooner > EDGE_SECONDS), default=inf)


def _nearest(seconds: float) -> float:
    return min(PERIODS, key=lambda period: abs(log(max(seconds, 0.1) / period)))


class Pace:
    """Spreads departures of one unit at a rate that changes. rate: a second, or inf."""

    __slots__ = ("rate", "tat", "unit")

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.rate = inf
        self.tat = -inf

    def due(self, tick_seconds: float) -> float:
        """When the next may leave: what is due within a tick may leave together."""
        return self.tat - tick_seconds

    def retune(self, rate: float, now: float) -> None:
        """Another rate, from now on; what is owed is owed at it."""
        if rate != self.rate and self.tat > now and self.rate < inf:
            self.tat = now + (self.tat - now) * (self.rate / rate if rate < inf else 0.0)
        self.rate = rate

    def take(self, now: float, cost: float, catch_up: float) -> None:
        """A departure leaves."""
        if self.rate < inf:
            self.tat = max(self.tat, now - catch_up) + cost / self.rate

    def give_back(self, amount: float) -> None:
        """It cost less than was taken, or more where the amount is negative."""
        if self.rate < inf:
            self.tat -= amount / self.rate

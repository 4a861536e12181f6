"""Which kind of limit refused us, judged by how long it stayed shut. No clock: times are arguments.

- A window of ten seconds or a minute that is used up stays shut for seconds. It must be proven: by a probe that was refused so
  long after the first refusal, or by the provider's own wait. An outage that was only slept through proves nothing.
- It is a fixed window if it opens while what left in the last period would still fill a sliding one.
- Everything else is a bucket to us, or a window so short that it makes no difference.

For a window one outage is enough: what it let in is exactly its amount.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.pacing.sliding_log import SlidingLog

if TYPE_CHECKING:
    from pipeline.core.pacing.departures import Departures
    from pipeline.core.pacing.outage import Outage

PERIODS = (10.0, 60.0)  # windows that occur and are long enough to be seen
PROVEN_SECONDS = 1.5  # a wait in whole seconds says 1 for everything below one, so that only more than this proves a window
EDGE_SECONDS = 1.5  # an outage that ends so near an edge ended with it
SAME_EDGE_SECONDS = 0.6  # two outages that end whole periods apart, to this
UNLIKELY_SHARE = 0.35  # of an estimate: a limit rarely falls below; rather it is no window
EDGE_KNOWN = 0.5  # an edge known to this needs no earlier look
EDGE_SLACK = 0.1
EARLY_SHARE = 0.85  # of a window's amount: shut with less in it, it is another kind, or the limit has fallen
SAME_SHARE = 0.97  # of an estimate: a count that is so near confirms it


class Kind(Enum):
    """What a limit counts in."""

    FIXED = "fixed"
    SLIDING = "sliding"
    BUCKET = "bucket"


class WindowFinder(Struct, eq=False):
    """What is known of the window. exact: a log that keeps a sliding window from being exceeded."""

    log: Departures
    kind: Kind | None = None
    period: float | None = None
    exact: SlidingLog | None = None
    forgot: bool = False  # the last judgement withdrew an earlier one
    _fixed: bool = False
    _ended: float = -math.inf  # when the last outage ended
    _early: float = -math.inf  # when it was last shut with too little in it
    _opened: float = -math.inf  # when the last proven outage ended
    _edge_low: float = -math.inf
    _edge_high: float = -math.inf
    _amount: float = 0.0

    def judge(self, outage: Outage, opened: float, rate: float, estimate: float | None) -> float | None:
        """The rate that a window allows after an outage that ended at `opened`; None if it is no window that can be seen."""
        self.forgot = False
        known = self.kind in (Kind.FIXED, Kind.SLIDING)
        before, self._ended = self._ended, opened
        end = outage.since
        shut = max(outage.said, outage.refused_at - end)
        proven = shut > PROVEN_SECONDS + 1.5 / rate
        if proven:
            self.period = max(self.period or 0.0, next((period for period in PERIODS if shut <= period), PERIODS[-1]))
        if self.period is None:
            self.kind = Kind.BUCKET
            return None
        period, count = self.period, self.log.count
        last_shut = max(outage.refused_at, end + outage.said - 1.0) if outage.said else outage.refused_at
        if proven and not self._fixed:
            self._fixed = self._looks_fixed(end, last_shut, opened, rate, outage.refusals)
        self.kind = self._kind_now(opened, proven=proven)
        if not proven and estimate and self.kind is not Kind.FIXED and count(end - period, end) < EARLY_SHARE * estimate * period:
            if opened - self._early < 3 * period:
                self._withdraw()
                return None
            self._early = opened  # once, it may have fallen
        if self.kind is Kind.BUCKET:
            return None
        new = self._amount_of(outage, opened, last_shut, before) / period
        if estimate is None:
            return new
        if outage.tested:
            return max(estimate, new)
        if known and new < UNLIKELY_SHARE * estimate:
            self._withdraw()
            return None
        return estimate if self.kind is Kind.SLIDING and not proven and new > SAME_SHARE * estimate else new

    def _amount_of(self, outage: Outage, opened: float, last_shut: float, before: float) -> float:
        """What the window let in. before: when the outage before this one ended."""
        end, period, count = outage.since, self.period or 0.0, self.log.count
        if self.kind is Kind.SLIDING:
            later = max(count(outage.refused_at - period, outage.refused_at), count(opened - period, opened))
            return min(count(end - period, end), later)
        self._note_edge(last_shut, opened)
        middle = (self._edge_low + self._edge_high) / 2
        early = before >= self._edge_low - period - 0.5  # the window began with the end of another outage: nothing left before
        return count((self._edge_low if early else middle) - period, end)

    def _looks_fixed(self, end: float, last_shut: float, opened: float, rate: float, refusals: int) -> bool:
        """Whether it opened, or stayed shut, when a sliding window would not have; or opened as one that opens at edges."""
        before, self._opened = self._opened, opened
        if self.period is None:
            return False
        opens = self.log.oldest_since(end - self.period, end) + self.period  # were it a sliding window that still allows as much
        if before > -math.inf:
            windows = (opened - before) / self.period
            same = abs(windows - round(windows)) * self.period < SAME_EDGE_SECONDS
            return same and abs(opened - opens) > 1.0  # a sliding window opens a period after the outage before, too
        return opened < opens - 1.0 or last_shut > opens + 0.5 + refusals / rate

    def _withdraw(self) -> None:
        self.forget()
        self.forgot, self.kind = True, Kind.BUCKET

    def _note_edge(self, low: float, high: float) -> None:
        """An edge lies between two times. Together with what earlier outages said of it, that is known ever better."""
        if self._edge_high > -math.inf and self.period is not None:
            passed = round((high - self._edge_high) / self.period) * self.period
            known_low, known_high = self._edge_low + passed, self._edge_high + passed
            if max(low, known_low) < min(high, known_high):
                low, high = max(low, known_low), min(high, known_high)
        self._edge_low, self._edge_high = low, high

    def _kind_now(self, opened: float, *, proven: bool) -> Kind:
        if not self._fixed:
            return Kind.SLIDING
        if proven or self._edge_high == -math.inf or self.period is None:
            return Kind.FIXED
        late = (opened - self._edge_low + EDGE_SECONDS) % self.period  # since the earliest that an edge can have been
        return Kind.FIXED if late <= self._edge_high - self._edge_low + 2 * EDGE_SECONDS else Kind.BUCKET

    def forget(self) -> None:
        """No window is known any more."""
        self.kind = self.period = self.exact = None
        self._fixed, self._edge_low, self._edge_high, self._opened = False, -math.inf, -math.inf, -math.inf

    def resume(self, kind: str, period: float | None) -> None:
        """Begin with what an earlier run found."""
        self.kind = Kind(kind) if kind in {each.value for each in Kind} else None
        self.period = period if self.kind in (Kind.FIXED, Kind.SLIDING) else None
        self._fixed = self.kind is Kind.FIXED

    def next_edge(self, now: float) -> float:
        """When to look whether a fixed window has opened; `now` if that is not known."""
        if self.kind is not Kind.FIXED or self.period is None or self._edge_high == -math.inf:
            return now
        width = self._edge_high - self._edge_low
        look = self._edge_high + EDGE_SLACK if width <= EDGE_KNOWN else self._edge_low + width / 2
        if (into := (now - look) % self.period) < width and width > EDGE_KNOWN:
            return now + min(width / 2, width - into) + EDGE_SLACK  # looked too early: it opens soon
        return look + (math.floor((now - look) / self.period) + 1) * self.period

    def held_before(self, at: float) -> float:
        """What was let in a second, over the window that ends at `at`."""
        period = self.period or 1.0
        return self.log.count(at - period, at) / period

    # ---- the exact log of a sliding window -------------------------------------------------------------------------

    def held(self, estimate: float, now: float) -> None:
        """An estimate is in force from `now` on."""
        if self.kind is not Kind.SLIDING or self.period is None:
            self.exact = None
            return
        self._amount = max(1.0, math.floor(estimate * self.period))
        if self.exact is None or self.exact.period != self.period:
            self.exact = SlidingLog(self.period)
            self.exact.advance(now - self.period)
            for at, count in self.log.since(now - self.period):
                self.exact.advance(at)
                self.exact.take(count)
            self.exact.advance(now)

    def free_at(self, now: float) -> float:
        """When the window has room for one more."""
        if self.exact is None:
            return -math.inf
        self.exact.advance(now)
        excess = self.exact.total + 1 - self._amount
        return -math.inf if excess <= 0 else self.exact.free_at(excess)

    def departed(self) -> None:
        """An attempt leaves, at the `now` of the last `free_at`."""
        if self.exact is not None:
            self.exact.take(1)

    def removed(self, left: float) -> None:
        """The departure that left at `left` was refused."""
        if self.exact is not None:
            cell = self.exact.cell(left)
            self.exact.correct(cell, 1, cell, 0)

"""What a rate is known to lie between, and how each refusal and each step that survived narrows it. Requests a second.

Three things are measured:

- a pace that survives for a few seconds is a lower bound, a pace that is refused an upper one;
- between two refusals close together, with no pause between, a bucket is empty at both ends: what it let in is its rate;
- over a cycle from one reopening to the next, pause included, no more than the rate can have passed (the renewal estimate).

A test that ends in a refusal has two unknowns, the rate and the depth of the bucket. So a part of it is tried: if that survives the
limit has risen; if none does it was only the depth (`burst`), and a later test that takes no more than that tells of nothing new.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.core.pacing.departures import Departures

UNSURE_RATIO = 1.04  # an interval wider than this is narrowed further
TRIAL_SHARE = 0.35  # of what a test found, that is tried first: it leaves an empty bucket, which refuses any pace above its rate
LEAST_FIRST = 0.5  # of the upper end: a bucket one second deep lets a search reach twice its rate
FIRST_SHARE = 0.7  # of the first interval: its lower end counts a pause in, that most providers make longer than it need be
TRIAL_RATIO = 1.06  # a trial so near what was known before has failed altogether
TRIAL_SECONDS = 12.0  # a trial that is refused within these was above the limit
MEASURED = 10  # let in between two refusals: enough to measure by
REPEATED_SECONDS = 10.0  # two refusals of a pace within this are no coincidence, and close enough to measure between
LEAST_LOWERED = 0.3  # of a pace that was refused at once: the limit is hardly lower
FALLEN = 0.8  # of a pace: below it the depth of a bucket may have changed, too


class Interval(Struct, eq=False):
    """estimate: None until there is one. unsure: it is worth narrowing. trial: a part of what a test found is being tried."""

    estimate: float | None = None
    low: float = 0.0
    high: float = inf
    unsure: bool = True
    trial: bool = False
    burst: float | None = None  # what a test takes beyond the limit every time
    _trial_burst: float = 0.0
    _survived: float = 0.0  # a pace that was let in for long enough, and not refused since

    def forget(self) -> None:
        """Nothing is known."""
        self.estimate, self.low, self.high, self.unsure, self.trial = None, 0.0, inf, True, False
        self._survived = 0.0

    def sure(self, estimate: float) -> None:
        """The rate is known."""
        self.estimate, self.unsure, self.trial = estimate, False, False

    def scale(self, factor: float) -> None:
        """The same of a larger or a smaller part of what is allowed in all."""
        self.estimate = None if self.estimate is None else factor * self.estimate
        self.low, self.high, self._survived = factor * self.low, factor * self.high, factor * self._survived

    def between(self, low: float, high: float, *, trial: bool = False) -> None:
        """The rate lies between two."""
        self.low, self.high, self.trial = low, high, trial
        self.estimate = (low + min(high, 2 * low)) / 2
        self.unsure = trial or high > UNSURE_RATIO * low

    def survived(self, pace: float) -> float | None:
        """A pace was let in for long enough; the next pace to try, None if there is none."""
        self.low = self._survived = max(self.low, pace)
        if self.high <= UNSURE_RATIO * self.low:
            self.sure(self.low)
            return None
        self.estimate = (self.low + min(self.high, 2 * self.low)) / 2
        return self.estimate

    def lowered(self, pace: float, left: float, emptied_at: float, log: Departures) -> None:
        """A pace was refused. emptied_at: when the refusal before was, if nothing was paused for it, else -inf."""
        apart = left - emptied_at
        if pace <= 1.02 * self._survived:
            self._survived = 0.0
        let_in = log.count(emptied_at, left)
        high, low = pace, self.low
        if apart < REPEATED_SECONDS and let_in >= MEASURED:
            measured = let_in / apart
            high = min(pace, measured * (1 + 2.0 / let_in))
            low = min(0.96 * high, measured * (1 - 2.0 / let_in))
        elif pace <= 1.02 * low or low <= 0.0 or not self.unsure:
            low = pace * max(LEAST_LOWERED, 1.0 - 2.0 / (let_in + 1.0))
        self.low, self.high, self.trial = low, high, False
        self.estimate = (low + high) / 2
        self.unsure = high > UNSURE_RATIO * low
        if self.estimate < FALLEN * pace:
            self.burst = None

    def tested(self, began: float, left: float, log: Departures) -> None:
        """A test that began at `began` was refused."""
        estimate = self.estimate or 0.0
        beyond = log.count(began, left) - estimate * (left - began)
        if self.burst is not None and beyond < 1.5 * self.burst + 2.0:
            self.estimate = 1.01 * estimate
            self.burst = min(self.burst, (self.burst + max(0.0, beyond)) / 2)
            return
        self._trial_burst = max(0.0, beyond)
        low, high = estimate, max(1.06 * estimate, log.count(left - 1.5, left) / 1.5)
        self.low, self.high, self.unsure, self.trial = low, high, True, True
        self.estimate = low + TRIAL_SHARE * (high - low)

    def trial_failed(self, pace: float) -> None:
        """The part that is being tried is too much. If all of it is, it was only the burst that was let in."""
        self.high = pace
        if self.high <= TRIAL_RATIO * self.low:
            self.burst = self._trial_burst
            self.sure(self.low)
        else:
            self.estimate = self.low + TRIAL_SHARE * (self.high - self.low)

    def first(self, since: float, end: float, reopened: float, log: Departures) -> None:
        """A search was refused at `end`, and the limit was open again at `reopened`: over spans from one second to four."""
        low = high = 0.0
        span, lived, shut = 1.0, end - since, reopened - end
        while True:
            span = min(span, max(0.1, lived))
            let_in = log.count(end - span, end)
            low, high = max(low, let_in / (span + shut)), max(high, let_in / span)
            if span >= lived or span > 4.0:
                break
            span *= 1.4
        self._bracket(min(low, LEAST_FIRST * high), high)
        self.estimate = self.low + FIRST_SHARE * (self.high - self.low)

    def renewed(self, pace: float, least: float, since: float, stepped: float, end: float, reopened: float, log: Departures) -> None:
        """A pace was refused at `end`, and shut until `reopened`. since: when the cycle began; stepped: when the pace last rose.

        least: share of the pace that is taken for the lower end where too little was let in to tell.
        """
        let_in = log.count(since, end)
        if let_in < 5 or end - since <= 1.0 + reopened - end:
            self._bracket(max(least * pace, min(self._survived, 0.9 * pace)), pace)
            return
        steady = max(since, stepped) if end - stepped > 0.5 else since  # a rate over two paces bounds nothing
        low, high = let_in / max(0.1, reopened - since), log.count(steady, end) / max(0.1, end - steady)
        if end - since < 15.0:
            low, high = max(low, self.low), min(high, self.high)
        if high < 1.02 * low:
            low, high = let_in / max(0.1, reopened - since), max(high, pace)
        self._bracket(low, high)
        if self.burst is not None and (self.estimate or 0.0) < FALLEN * pace:
            self.burst = None

    def _bracket(self, low: float, high: float) -> None:
        self.low, self.high = min(low, 0.96 * high), high
        self.estimate = (self.low + self.high) / 2
        self.unsure, self.trial = True, False

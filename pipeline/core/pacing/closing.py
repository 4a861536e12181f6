"""How the learned pace closes when a limit lets nothing in, how it opens again, and what the time between shows.

One attempt alone, the probe, asks whether a limit is open again. Then a whole cycle, from one opening to the next, can be judged.
No clock: `now` is an argument.
"""

from __future__ import annotations

from math import inf

from pipeline.core.pacing.growing import MIN_HOLD_SECONDS, WAVE_SECONDS, Growing, Mode
from pipeline.core.pacing.outage import LEAST_DELAY, MOST_DELAY, Outage

FEW_LET_IN = 12  # in all, before the first outage
LEAST_LOWERED = (0.6, 0.6, 0.45, 0.3)  # of a pace that let next to nothing in, after so many outages that ended too soon
PAUSE_SHARE = 40.0  # times a pause that it costs, between two tests: 2.5 % of the time


class Closing(Growing, eq=False):
    """A growing pace that can be closed. outage: while it is."""

    outage: Outage | None = None
    grace: float = 0.6  # how long a departure is without a refusal until it counts as let in
    _refused_at: float = -inf  # when the last attempt left whose refusal was reacted to
    _emptied_at: float = -inf  # the same, if nothing was paused for it
    _reopened: float = -inf
    _searched_again: bool = False
    _quick: int = 0  # times in a row that it was no sooner open than shut

    def _close(self, left: float, now: float, said: float, *, explained: bool) -> None:
        self.noise.reacted(self._left)
        again = left - self._reopened < 1.0 or self.log.count(self._reopened, left) < 5
        self._quick = self._quick + 1 if again and self.span.estimate is not None else 0
        delay = min(MOST_DELAY, max(LEAST_DELAY, 2.0 / self.rate) * 2**self._quick)
        others = 2.0 * (now - left) + 1.0 / self.rate  # those under way will be refused too, and may count
        due = now + max(said, delay if self._quick or not said else others)
        if not said:
            due = max(due, self.windows.next_edge(now))
        tested = self.mode is Mode.TEST
        self.outage = Outage(left, said, delay, due, direct=bool(said) and not self._quick, explained=explained, tested=tested)
        self.mode = Mode.CLOSED
        self._refused_at, self._emptied_at = left, -inf
        self._refusals = 1

    def _shut_until(self, outage: Outage, now: float) -> float:
        """Until when nothing leaves; not later than `now` if it is open again, or if a probe may leave."""
        if outage.probe is not None:
            until = outage.probe_at + self.grace
            if now < until:
                return until
            self._reopen(outage, outage.probe_at, now)
        elif now < outage.due:
            return outage.due
        elif outage.direct:
            self._reopen(outage, now, now)  # it said when: believed once
        return -inf

    def _reopen(self, outage: Outage, admitted_at: float, now: float) -> None:
        """An attempt that left at `admitted_at` was let in: the limit is open again, and a whole cycle can be judged."""
        self.outage = None
        self._reopened = now
        self._refusals = outage.refusals
        if outage.explained and self.span.estimate is None:
            self._open()
            self.opened = now
        elif self.span.estimate is None and self._knows_too_little(self.log.count(self._began, outage.since)):
            self._search_again(now)
        elif outage.explained or self._estimate_anew(outage, admitted_at, now):
            self._hold(now)
        else:
            self._search_again(now)
        self.tat = now if admitted_at - outage.since < 1.0 else now + 0.5 / self.rate
        self._note(now, f"reopened after {admitted_at - outage.since:.2f} s, {outage.refusals} refused")

    def _knows_too_little(self, let_in: int) -> bool:
        """Whether so few were let in before the outage that they tell of no limit.

        None at all: somebody else had used it up. Once, a few: the first requests may have met a relay's bad luck, and a pace
        that is held at what they tell would take a minute to come back.
        """
        if let_in and (self._searched_again or let_in >= FEW_LET_IN or self._left - self._search_left >= 2 * FEW_LET_IN):
            return False
        self._searched_again = (bool(let_in) and not self._wave_refused) or self._searched_again
        return True

    def _search_again(self, now: float) -> None:
        began, self.mode, self._answers = self._began, Mode.RAMP, 0
        if self._wave_refused:
            self._wave_refused, self._search_left = False, self._left
            self._wave_let_in = self.log.count(began, began + WAVE_SECONDS)
            self.crowd.forget_peaks()
        self.opened = self._began = self._grown = now

    def _estimate_anew(self, outage: Outage, admitted_at: float, now: float) -> bool:
        """Judge the cycle that has ended; whether that gives an estimate."""
        span, began = self.span, self._began
        judged = self.windows.judge(outage, admitted_at, self.rate, span.estimate)
        self._hold_seconds = MIN_HOLD_SECONDS
        if outage.tested or span.estimate is None:
            self._confirmed = outage.tested
        if judged is not None:
            self.noise.calm()
            self._confirmed = self._confirmed and abs(judged - (span.estimate or 0.0)) < 0.1 * judged
            span.sure(judged)
            return True
        if self._wave_refused and span.estimate is None:
            return False
        if self.windows.forgot:
            span.low, span.high = 0.0, inf
        if span.estimate is None:
            span.first(began, outage.since, admitted_at, self.log)
        elif outage.tested and not span.unsure:
            span.tested(self._testing_since, outage.since, self.log)
        else:
            self.noise.lowered()
            least = LEAST_LOWERED[min(self._quick, len(LEAST_LOWERED) - 1)]
            span.renewed(self.rate, least, began, self._stepped, outage.since, admitted_at, self.log)
        if outage.tested:
            paused = now - outage.since - min(1.0, (span.burst or 0.0) / (span.estimate or self.rate))
            self._hold_seconds = max(MIN_HOLD_SECONDS, PAUSE_SHARE * paused)
        return True

"""What others say of the pace: the provider's headers, an earlier run, the config, and a pause. No clock: `now` is an argument."""

from __future__ import annotations

from math import inf

from pipeline.core.pacing.closing import Closing
from pipeline.core.pacing.growing import MIN_HOLD_SECONDS, Mode
from pipeline.core.pacing.kinds import Kind

OWED_SECONDS = 10.0  # the first wave holds up what comes after it for no longer


class Told(Closing, eq=False):
    """A pace that can be closed, and that takes the word of others."""

    def rest(self, until: float) -> None:
        """Nothing leaves before `until`: afterwards the pace that was reached goes on, not all of what waits at once."""
        self._end_wave()
        if self.mode is Mode.OPEN and self.top == inf:
            self.rate = max(self.rate, self.log.count(until - 60.0, until) / 60.0)
            self.mode, self._answers, self._grown = Mode.RAMP, 0, until
        self.tat = max(self.tat, until)

    def announced(self, top: float, now: float, *, changed: bool) -> None:
        """The provider says what it allows. changed: it says so for the first time, or something else than before."""
        self.top = top
        self.told = self.noise.told = True
        if self.mode is Mode.CLOSED:
            return
        if self.mode is Mode.RAMP or changed:
            self._not_kept = False
            self._open()
            self.opened = now
        elif self.mode is not Mode.OPEN:
            self.rate = min(self.rate, top)

    @property
    def window(self) -> tuple[float, float, bool] | None:
        """The amount and the period of a window that was found, and whether it has edges; None if none was."""
        windows, estimate = self.windows, self.span.estimate
        if estimate is None or windows.period is None or windows.kind not in (Kind.FIXED, Kind.SLIDING):
            return None
        return estimate * windows.period, windows.period, windows.kind is Kind.FIXED

    def owed_until(self, rate: float, now: float) -> float:
        """Until when nothing would leave, had all that was let in so far left at a rate; `now` if it left more slowly."""
        began = self._began
        return max(now, min(began + OWED_SECONDS, began + self.log.count(began, now) / rate)) if began > -inf else now

    def resume(self, rate: float, kind: str, period: float | None, now: float) -> None:
        """Begin at a rate that an earlier run found; it is tested soon."""
        self._wave = False
        self.windows.resume(kind, period)
        self.span.sure(rate)
        self._hold(now)
        self._began = now - MIN_HOLD_SECONDS

    def share(self, rate: float, now: float) -> bool:
        """Go on at another part of what was found: all that is known of it grows or shrinks alike. False if nothing was found so far."""
        estimate = self.span.estimate
        if estimate is None or self.mode is Mode.OPEN:
            return False
        factor = rate / estimate
        self.span.scale(factor)
        self.rate = min(self.top, factor * self.rate)
        self.windows.held(rate, now)
        return True

    def retune(self, slots: int, top: float) -> None:
        """Other bounds are configured."""
        self._end_wave()
        self.slots, self.top = slots, top
        self.rate = min(self.rate, top)
        self.crowd.retune(slots)

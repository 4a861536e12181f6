"""Finds the pace that a provider allows when nobody says what it is. Pure: `now` is an argument.

Theory of operation. The finder is in one of five modes:

- OPEN: it holds nothing; something else does (a configured limit, what the provider announces, the attempts in flight).
- RAMP: nothing was refused yet. Departures grow by 1.6 a second, or with every answer as TCP's slow start does: two leave for
  each that was answered. So a fast server is at full speed after a few round trips, and a slow one meets no sudden load.
- HOLD: a little below the estimate. While the estimate is `unsure` (an interval from `low` to `high`) the pace climbs to the
  middle of it every few seconds; each step that survives raises `low`, each refusal lowers `high`.
- TEST: the pace grows slowly until something is refused, for the limit may have risen. Tests are spaced so that they cost few
  refusals.
- CLOSED: nothing leaves until the provider's wait has passed, then one attempt alone: the probe.

A departure that is not refused within `grace` (a few times what a refusal takes) counts as let in: answers are seconds late,
refusals are not. A refusal of an attempt that left before the last reaction is an echo, and is only counted.

The first refusal of an even pace costs no pause: the pace steps back. Only a refusal of an attempt that left after that step
shows that the limit is shut, and then the provider's wait is kept. How long it stayed shut tells the kind of the limit, see `kinds`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import field

from pipeline.core.pacing.crowd import ALIKE, LEAST_CAP
from pipeline.core.pacing.growing import CATCH_UP_SECONDS, FROZEN, WAVE_SECONDS, Mode
from pipeline.core.pacing.interval import REPEATED_SECONDS, TRIAL_SECONDS
from pipeline.core.pacing.kinds import Kind
from pipeline.core.pacing.meter import TICK_SECONDS
from pipeline.core.pacing.noise import Noise
from pipeline.core.pacing.told import Told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.messages import Grant

SHORT_WAIT_SECONDS = 1.5  # a Retry-After in whole seconds says 1 for everything below one
LEAST_GRACE = 0.1
SLOT_SECONDS, SLOT_SHARE = 0.01, 1 / 12  # of a latency: for so long the highest number in flight is taken together
BUSY_SHARE = 0.2  # of attempts, that a provider may be too busy for at random: twelve in a row are no chance
UNKNOWN = -1
OVERTAKEN = 2.0  # attempts in flight, by which the numbers may differ that the server saw
FEWEST_OTHERS = 10  # that left between the first wave and the next refusal, for it to tell of a cap
BETWEEN = 3  # let in between two refusals: the limit is not shut


class Finder(Told, eq=False):
    """The learned pace of one lane, in requests."""

    _busy_noise: Noise = field(
        default_factory=lambda: Noise(share=BUSY_SHARE)
    )  # how likely it is that a provider that is too busy is so by chance
    _before_cap: float | None = None  # the estimate that was sure when a cap was assumed

    # ---- may one leave? --------------------------------------------------------------------------------------------

    def due(self, now: float, in_flight: int) -> float:
        """When the next may leave; not later than `now` if it may leave now."""
        if self.mode is Mode.OPEN:
            return -inf
        if self.outage is not None and (until := self._shut_until(self.outage, now)) > now:
            return until
        if self.mode is Mode.RAMP and in_flight < self._answers:
            return -inf
        at = self.tat - max(0.0, TICK_SECONDS - 1.0 / self.rate)
        if self.mode is Mode.HOLD and self.windows.exact is not None:
            return max(at, self.windows.free_at(now))
        return at

    def departed(self, grant: Grant, now: float) -> None:
        """An attempt leaves; `grant.crowd` were in flight with it."""
        if self._began == -inf:
            self._began = now
            self.noise.begin(now)
        self.log.add(now)
        in_flight, crowd = grant.crowd, self.crowd
        if crowd.capped:
            crowd.departed(in_flight, now, self._hold_departures(now))
        else:
            if now >= crowd.next_peak:
                self._next_slot(in_flight, now)
            if in_flight > crowd.peak:  # noqa: PLR1730  `max` costs three times as much, and this is paid for every row
                crowd.peak = in_flight
        if self.mode is Mode.OPEN:
            return
        self._left += 1
        self.windows.departed()
        if self.outage is not None:
            self.outage.probe, self.outage.probe_at = grant, now
            return
        slow_start = self.mode is Mode.RAMP and in_flight <= self._answers
        self._bound_by_pace = now - self.tat < 0.2
        self._grow(now, in_flight)
        if not slow_start:
            self.tat = max(self.tat, now - CATCH_UP_SECONDS) + 1.0 / self.rate

    def departed_unpaced(self, grants: Sequence[Grant], now: float) -> None:
        """The same of attempts that leave together while nothing is held: in the mode OPEN."""
        if self._began == -inf:
            self._began = now
            self.noise.begin(now)
        self.log.add(now, len(grants))
        crowd, most = self.crowd, grants[-1].crowd
        if crowd.capped:
            patience = self._hold_departures(now)
            for grant in grants:
                crowd.departed(grant.crowd, now, patience)
            return
        if now >= crowd.next_peak:
            self._next_slot(most, now)
        crowd.peak = max(crowd.peak, most)

    def _next_slot(self, in_flight: int, now: float) -> None:
        """A slot of time is over, in which the highest number in flight is taken together."""
        latency = in_flight / (1.0 + self.log.count(now - 1.0, now))  # by Little's law
        self.crowd.note_peak(now, max(SLOT_SECONDS, SLOT_SHARE * latency))

    # ---- what came of it -------------------------------------------------------------------------------------------

    def admitted(self, grant: Grant, now: float) -> None:
        """The provider has let an attempt in."""
        if not self.admitted_together(1) and self.outage is not None and self.outage.probe is grant:
            self._reopen(self.outage, grant.left, now)

    def admitted_together(self, count: int) -> bool:
        """The same of several attempts, none of them a probe; whether that has ended the search."""
        if self._left - self._frozen >= FROZEN:
            self._answers += 2 * count
        if self.mode is not Mode.RAMP or self._answers < 2 * self.slots:
            return False
        self.mode = Mode.OPEN
        self._end_wave()
        return True

    def lost(self, grant: Grant, now: float) -> None:
        """An attempt ended in a way that says nothing of limits."""
        self._end_wave()
        if self.outage is not None and self.outage.probe is grant:
            self.outage.lost(now)

    def refused(self, grant: Grant, now: float, retry_after: float | None, *, explained: bool = False, parallel: bool = False) -> None:
        """The provider has refused an attempt. explained: its headers say that nothing is left, so that nothing is to be learned."""
        left = grant.left
        if self._wave:
            self._end_wave()
            self._wave_refused = True
        self.log.remove(left)
        self.windows.removed(left)
        self.grace = max(LEAST_GRACE, 2.5 * (now - left), 0.9 * self.grace)
        if parallel:
            self.crowd.told(grant.crowd, self._on_the_wire(left, now))
        elif self.outage is not None:
            self.outage.refused(grant, now, retry_after or 0.0, self.windows.next_edge(now))
        else:
            self._refusals += 1
            if left >= self.opened:
                self._react(grant, now, retry_after or 0.0, explained=explained)

    def _react(self, grant: Grant, now: float, said: float, *, explained: bool) -> None:
        left = grant.left
        if said <= SHORT_WAIT_SECONDS and not explained:
            was_capped = self.crowd.capped
            if self._hits_cap(grant, now):
                self._capped(now)
                return
            if was_capped and self._before_cap is not None:
                self._resume_pace(now)
                return
            if not was_capped and self._is_noise(left, now, grant.crowd):
                return
            if self.mode is Mode.OPEN and self.told:  # more is promised than is kept
                self.span.sure(self.top)
                self.mode, self.rate, self._confirmed, self.opened = Mode.HOLD, self.top, True, min(self.opened, left - 1.0)
            if self._may_step_back(left):
                self._step_back(left, now)
                return
        self._close(left, now, said, explained=explained)

    def busy(self, grant: Grant, now: float) -> None:
        """The provider is too busy for one and answers others, as a proxy is that caps the requests at once. The pace may stay."""
        left = grant.left
        if self._wave:  # what else is on its way is refused, too; what was let in is known when all of that is back
            self.opened, self._search_left, self._wave_let_in = now, self._left, UNKNOWN
            self.crowd.forget_peaks()
        self.lost(grant, now)
        self.log.remove(left)
        if self.outage is not None or left < self.opened:
            return
        capped = self.crowd.capped
        if self._hits_cap(grant, now):
            self._capped(now)
        elif not capped and self._busy_noise.is_limit(left, 0.0, self.log):
            self.crowd.flooded(grant.crowd, self._on_the_wire(left, now))
            self._capped(now)
        elif self.mode is Mode.RAMP and not self.noise.known:
            self._frozen = self._left  # as with a refusal of which it is not known what it was
            self._answers = min(self._answers, grant.crowd)

    # ---- reacting without a pause ----------------------------------------------------------------------------------

    def _is_noise(self, left: float, now: float, crowd: int) -> bool:
        """Whether a refusal is put down to noise, so that the pace stays."""
        noise, pace = self.noise, self.log.count(left - 1.0, left) + 1.0
        if noise.share > 0 or self.mode is Mode.RAMP or (self.mode is Mode.OPEN and not self._not_kept):
            if noise.is_limit(left, pace, self.log):
                noise.met_limit(pace)
                self._not_kept = self.told and self.mode is Mode.OPEN
                return False
            if self.mode is Mode.OPEN and self.told and noise.often(left):
                return False  # a lower pace is tried: if as many are refused there, it is noise
            if not noise.known:
                self._frozen = self._left  # growing on would only cost more refusals
                self._answers = min(self._answers, crowd)
            return True
        if not noise.unexplained(left, pace, self._emptied_at, self.log):
            return False
        self.rate = min(self.top, max(self.rate, noise.measured))
        self.span.forget()
        self.mode, self._answers = Mode.RAMP, 0  # the search goes on
        self.opened = self._began = now
        self.tat = now
        self._note(now, "noise")
        return True

    def _hits_cap(self, grant: Grant, now: float) -> bool:
        """Whether a cap on attempts at once explains a refusal."""
        left, count = grant.left, self.log.count
        even = self.mode in (Mode.HOLD, Mode.TEST) and not self.span.unsure
        wire = self._on_the_wire(left, now)
        if self._wave_let_in and self._is_cap_of_wave(grant.crowd - 1, wire):
            return True
        return self.crowd.refused(grant.crowd, left, even=even, wire=wire, pace=count(left - 1.0, left))

    def _is_cap_of_wave(self, in_flight: int, wire: int) -> bool:
        """Whether the first refusal after the first wave came at the number that was let in of it, though others left meanwhile."""
        let_in = self._wave_let_in if self._wave_let_in != UNKNOWN else self.log.count(self._began, self._began + WAVE_SECONDS)
        if self._left - self._search_left < max(FEWEST_OTHERS, let_in / 2):
            return False
        self._wave_let_in = 0
        slack = max(OVERTAKEN, ALIKE * let_in)
        if let_in < LEAST_CAP or not in_flight - wire - slack <= let_in <= in_flight + slack:
            return False
        self.crowd.flooded(let_in + 1, 0)
        return True

    def _on_the_wire(self, left: float, now: float) -> int:
        """How many more had left than the server can have seen when the attempt left whose refusal has come now."""
        return self.log.count(2 * left - now, left)

    def _capped(self, now: float) -> None:
        """A cap on attempts at once explains the refusal: the pace need not change, and climbs until the cap binds."""
        span = self.span
        if span.estimate is None or self.mode is Mode.OPEN:
            self.opened = now
            return
        if self._before_cap is None and not span.unsure:
            self._before_cap = span.estimate
        self.span.between(self.rate, inf)
        self.span.estimate = 1.1 * self.rate
        self._hold(now)
        self._note(now, f"capped at {self.crowd.bound}")

    def _resume_pace(self, now: float) -> None:
        """There is no cap: the pace that was known before is held again."""
        self.span.sure(self._before_cap or self.rate)
        self._before_cap = None
        self._hold(now)
        self.tat = now + 1.0 / self.rate
        self._note(now, "no cap")

    def _may_step_back(self, left: float) -> bool:
        """Whether nothing shows that the limit is shut: since the last reaction it has let some in."""
        if self.span.estimate is None or self.mode not in (Mode.HOLD, Mode.TEST) or self.windows.kind is Kind.FIXED:
            return False
        return self.log.count(self.opened, left) >= BETWEEN

    def _step_back(self, left: float, now: float) -> None:
        """The pace went too far."""
        self.noise.reacted(self._left)
        span = self.span
        self._confirmed = self._confirmed or self.mode is Mode.TEST
        if self.windows.kind is Kind.SLIDING:
            held, known = self.windows.held_before(left), span.estimate or self.rate
            span.sure(max(known, held) if self.mode is Mode.TEST else max(min(known, held), 0.98 * known))
        elif self.mode is Mode.TEST:
            span.tested(self._testing_since, left, self.log)
        elif span.trial and left - self._began < TRIAL_SECONDS:
            span.trial_failed(self.rate)
        elif span.unsure or left - self._refused_at < REPEATED_SECONDS:
            self.noise.lowered()
            span.lowered(self.rate, left, self._emptied_at, self.log)
        self._hold(now)
        self._refused_at = self._emptied_at = left
        self.tat = now + 1.0 / self.rate
        self._note(now, "step back")

"""How the learned pace grows while nothing is refused, and how it is held. What a refusal changes: `learned`.

No clock: `now` is an argument.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf, sqrt

from msgspec import Struct, field

from pipeline.core.pacing.crowd import Crowd
from pipeline.core.pacing.departures import Departures
from pipeline.core.pacing.interval import Interval
from pipeline.core.pacing.kinds import WindowFinder
from pipeline.core.pacing.meter import TICK_SECONDS
from pipeline.core.pacing.noise import Noise

WAVE_SLOTS = 2_000  # with fewer a limit may be so low that a wave costs too much: 22 to 34 refusals at 10 a second
WAVE_SECONDS, LEAST_WAVE = 0.3, 200.0  # the first wave, one attempt for each slot, takes so long, and begins at so many a second
SLOTS_PER_SECOND = 20.0  # a search after that begins at so small a share of the slots a second
GROWTH = 1.6  # a second, of the first search: some providers limit the slope as well (Volcano Ark)
TEST_GROWTH = 1.25  # a second, of a later test, at most; it begins with a hundredth
MARGIN = 0.015  # below the estimate
SURVIVED_SECONDS, SURVIVED_DEPARTURES = 2.0, 20  # without a refusal, before a step counts as survived
REFUSED_SHARE, LATE_REFUSED_SHARE = 0.005, 0.009  # of all attempts, that tests may cost; the second after a minute without one
MIN_HOLD_DEPARTURES, MIN_HOLD_SECONDS = 150, 6.0
FIRST_HOLD_DEPARTURES, FIRST_HOLD_SECONDS = 30, 30.0  # before the first test: what refused once may have been no limit at all
MAX_HOLD_SECONDS = 120.0  # after this a test is due, however few have left: else a pace that fell too low stays there
CATCH_UP_SECONDS = 0.03  # a late wake makes good what was due meanwhile, and no more
MOST_PASSED = 4.0  # seconds of growth that one departure can bring: a pace below one a second grows in jumps
CLEAN_DEPARTURES = 60  # without a refusal, at a pace below one that was refused: it was no noise of a twentieth or more
LEAST_RATE = 1 / 60.0
FROZEN = 4  # let in after a refusal of which it is not known what it was, before the search goes on


class Mode(Enum):
    """What the finder does just now."""

    OPEN = auto()
    RAMP = auto()
    HOLD = auto()
    TEST = auto()
    CLOSED = auto()


class Growing(Struct, eq=False):
    """A pace in requests, and the state that it needs.

    top: the rate that a configured limit or the provider's headers allow; the pace never grows beyond it. span: what the rate is
    known to lie between. tat: when the next is due by the pace (GCRA's theoretical arrival time).
    """

    slots: int
    top: float = inf
    ramp: bool = True
    told: bool = False  # the provider announces what it allows
    mode: Mode = Mode.OPEN
    rate: float = 1.0
    span: Interval = field(default_factory=Interval)
    log: Departures = field(default_factory=Departures)
    crowd: Crowd = None  # type: ignore[assignment]  # made of the slots
    windows: WindowFinder = None  # type: ignore[assignment]  # made of the log
    noise: Noise = field(default_factory=Noise)
    tat: float = -inf
    opened: float = -inf  # attempts that left before have nothing to say any more
    trace: list[str] | None = None  # what was decided and when, for a benchmark
    _began: float = -inf  # when the present estimate came into force
    _stepped: float = -inf  # when the pace last rose while unsure
    _testing_since: float = -inf
    _grown: float = -inf
    _wave: bool = False  # the first wave is leaving (with many slots), and nothing was refused yet
    _wave_refused: bool = False  # so fast a wave shows how much was let in, and no rate
    _left: int = 0  # departures in all, refused ones included
    _wave_let_in: int = 0  # of a first wave that was refused, until the next refusal
    _search_left: int = 0  # how many there were when the first search without a wave began
    _began_left: int = 0  # how many there were when the present estimate came into force
    _stepped_left: int = 0  # and when the pace last rose
    _frozen: int = -FROZEN  # and when a refusal came whose meaning is not known yet
    _answers: int = 0  # twice the answers since the search began
    _refusals: int = 0  # since the last reaction
    _per_test: float = 1.3  # refusals that an episode costs, smoothed
    _hold_seconds: float = MIN_HOLD_SECONDS
    _confirmed: bool = False  # a test has found the estimate to be the limit
    _not_kept: bool = False  # more is announced than is let in
    _bound_by_pace: bool = True  # and not by the attempts in flight

    def __post_init__(self) -> None:
        self.mode, self._wave = (Mode.RAMP if self.ramp else Mode.OPEN), self.ramp and self.slots >= WAVE_SLOTS
        self.rate = LEAST_WAVE if self._wave else self._careful_rate
        self.crowd = Crowd(self.slots)
        self.windows = WindowFinder(self.log)

    @property
    def _careful_rate(self) -> float:
        """Where a search begins when something is known to be wrong."""
        return max(1.0, self.slots / SLOTS_PER_SECOND)

    def _grow_wave(self) -> None:
        """Departures grow with the square of the time, so that a shallow limit is met before the wave is high."""
        self.rate = max(LEAST_WAVE, 2.0 / WAVE_SECONDS * sqrt(self.slots * self._left))

    def _end_wave(self) -> None:
        """The first wave is over; or something was refused, and the rest of it leaves at a careful pace."""
        if self._wave:
            self._wave = False
            self.rate = self._careful_rate

    # ---- growing ---------------------------------------------------------------------------------------------------

    def _grow(self, now: float, in_flight: int) -> None:
        passed = min(MOST_PASSED, now - self._grown) if self._grown > -inf else TICK_SECONDS
        if passed < TICK_SECONDS:
            return
        self._grown = now
        if self.mode is Mode.RAMP:
            self._search(now, passed, in_flight)
        elif self.mode is Mode.TEST:
            self._test(now, passed)
        elif self.span.unsure:
            if self.crowd.capped and in_flight >= self.crowd.bound:
                self._open()  # the cap binds, and not the pace
            else:
                self._climb(now)
        elif self._test_is_due(now):
            if not self._refusals and self._left - self._began_left >= CLEAN_DEPARTURES:
                self.noise.refuted()
                self._not_kept = self.told
            self.mode, self._testing_since = Mode.TEST, now
            self._note(now, "test")

    def _search(self, now: float, passed: float, in_flight: int) -> None:
        if in_flight >= self.slots:
            self.mode = Mode.OPEN
            self._end_wave()
        elif self._wave:
            self._grow_wave()
        elif self._bound_by_pace and self._left - self._frozen >= FROZEN:
            really = self.log.count(now - 2.0, now) + 2.0  # a second, twice over: the slots may bind
            self.rate = min(self.top, self.rate * GROWTH**passed, max(self.rate, really))

    def _climb(self, now: float) -> None:
        if now - self._stepped < SURVIVED_SECONDS or self._left - self._stepped_left < SURVIVED_DEPARTURES:
            return
        self._stepped, self._stepped_left = now, self._left
        self.noise.calm()
        step = self.span.survived(self.rate)
        if step is not None:
            self.rate = min(step, self.top)
        if self.rate >= self.top:
            self._open()

    def _test(self, now: float, passed: float) -> None:
        if not self._bound_by_pace:
            return
        estimate = self.span.estimate or self.rate
        room = max(estimate, self.log.count(now - 2.0, now) + 2.0)
        step = estimate * (1 + 0.01 * 2 ** min(60.0, now - self._testing_since))  # small at first: a bucket refuses the excess alone
        self.rate = min(room, self.rate * TEST_GROWTH**passed, step)
        if self.rate >= self.top:
            self._open()

    def _test_is_due(self, now: float) -> bool:
        held = now - self._began
        if not self._confirmed:
            enough = self._left - self._began_left >= FIRST_HOLD_DEPARTURES or held > FIRST_HOLD_SECONDS
            return enough and held > max(MIN_HOLD_SECONDS, 1.2 * (self.windows.period or 0.0))
        return held > MAX_HOLD_SECONDS or (held >= self._hold_seconds and self._left - self._began_left >= self._hold_departures(now))

    def _hold_departures(self, now: float) -> int:
        share = REFUSED_SHARE if now - self._began < 60.0 else LATE_REFUSED_SHARE
        return max(MIN_HOLD_DEPARTURES, int(self._per_test / share))

    def _open(self) -> None:
        """Something else holds from here on: the ceiling, or the attempts in flight."""
        self.mode = Mode.OPEN
        self._end_wave()
        self.span.forget()

    def _hold(self, now: float) -> None:
        estimate = self.span.estimate = max(LEAST_RATE, self.span.estimate or self.rate)
        self.rate = min(self.top, estimate * (1 - MARGIN))
        self.mode = Mode.HOLD
        self.opened = self._began = self._stepped = self._grown = now
        self._began_left = self._stepped_left = self._left
        self._per_test = 0.6 * self._per_test + 0.4 * min(6, self._refusals)
        self._refusals = 0
        self.windows.held(estimate, now)

    def _note(self, now: float, what: str) -> None:
        if self.trace is not None:
            span, kind = self.span, self.windows.kind.value if self.windows.kind else "-"
            cap = self.crowd.bound if self.crowd.capped else "-"
            self.trace.append(
                f"{now:7.2f} {what:40s} {kind:8s} rate {self.rate:8.3f} estimate {span.estimate or 0:8.3f} "
                f"[{span.low:.2f}, {span.high:.2f}]{' unsure' if span.unsure else ''} burst {span.burst} cap {cap}",
            )

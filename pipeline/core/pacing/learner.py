"""All that a lane learns about its provider's limits: what is announced, and what is found. Pure: `now` is an argument.

What the headers announce is a pace for its unit (requests, tokens, input or output tokens). What is found is a pace for requests
below it: a header that promises more than the provider enforces is a ceiling, and no more. A configured limit is one too.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pipeline.core.pacing.findings import Learned
from pipeline.core.pacing.growing import CATCH_UP_SECONDS, Mode
from pipeline.core.pacing.learned import Finder
from pipeline.core.pacing.meter import TICK_SECONDS, Unit
from pipeline.heads import ResponseHeaders

if TYPE_CHECKING:
    from pipeline.core.answers.quotas import ProviderLimits, Quota
    from pipeline.core.pacing.announced import Announced, Pace
    from pipeline.core.pacing.meter import Costs
    from pipeline.messages import Grant, Report

NEWS_SECONDS = 0.1  # between two readings of headers: ten a second follow every change, and cost nothing at 3,000 answers a second
EXPLAINED_SECONDS = 15.0  # within these a second refusal is not explained by the headers any more: they promise too much
CONFIGURED, ANNOUNCED = "the configured limit", "what the provider announces"
NARROWING = "narrowing down what the provider allows"
WHY = {
    Mode.RAMP: "speeding up until the provider refuses something",
    Mode.HOLD: "what the provider was found to allow",
    Mode.TEST: "testing whether the provider allows more",
}
EVERY_LIMIT = b"limit-"  # is in the name of each header that `quotas` knows
QUIET_ANSWERS, QUIET_SECONDS = 20, 2.0  # a provider whose first answers say nothing is asked less often


class Learner:
    """The learned pace of one lane.

    slots: attempts in flight at most. top: requests a second by configuration, or inf. next_news: from when on it pays to read
    the headers of an answer. What is announced is for all workers of a run together, of which this one may use a share.
    """

    __slots__ = ("_announced", "_explained_until", "_share", "_silent", "_top", "finder", "next_news", "paces")

    def __init__(self, slots: int, top: float, *, ramp: bool) -> None:
        self._top = top
        self.finder = Finder(slots, top, ramp)
        self._announced: dict[int, Announced] = {}
        self.paces: list[Pace] = []
        self.next_news = -inf
        self._silent = 0
        self._share = 1.0
        self._explained_until = -inf

    # ---- may one leave? --------------------------------------------------------------------------------------------

    def due(self, now: float, in_flight: int) -> float:
        """When the next may leave; not later than `now` if it may leave now."""
        due = self.finder.due(now, in_flight)
        for pace in self.paces:
            due = max(due, pace.due(TICK_SECONDS))
        return due

    def take(self, now: float, costs: Costs) -> None:
        """An attempt leaves: the announced paces are charged."""
        for pace in self.paces:
            pace.take(now, costs[pace.unit], CATCH_UP_SECONDS)

    def settled(self, held: Costs, real: Costs) -> None:
        """An attempt cost something else than was charged."""
        for pace in self.paces:
            if held[pace.unit] != real[pace.unit]:
                pace.give_back(held[pace.unit] - real[pace.unit])

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit on tokens was announced."""
        return any(pace.unit != Unit.REQUESTS for pace in self.paces)

    # ---- what came of it -------------------------------------------------------------------------------------------

    def refused(self, grant: Grant, now: float, retry_after: float | None, said: ProviderLimits | None, *, parallel: bool) -> None:
        """The provider has refused an attempt; said: by its own headers."""
        explained = False
        if said is not None:
            self.news(grant, now, said, let_in=False)
            explained = now >= self._explained_until and any(told.used_up for told in self._announced.values())
            if explained:
                self._explained_until = now + EXPLAINED_SECONDS
        self.finder.refused(grant, now, retry_after, explained=explained, parallel=parallel)

    def news(self, grant: Grant, now: float, said: ProviderLimits | None, *, let_in: bool = True) -> None:
        """Take note of what an answer's headers say; None if they say nothing of limits."""
        if let_in:
            self._silent = 0 if said is not None else self._silent + 1
            self.next_news = now + (QUIET_SECONDS if self._silent >= QUIET_ANSWERS else NEWS_SECONDS)
        if said is None:
            return
        for unit, quota in enumerate((said.requests, said.tokens, said.input_tokens, said.output_tokens)):
            if quota.limit is not None:
                self._hear(unit, quota, grant.left, now, let_in=let_in)

    def _hear(self, unit: int, quota: Quota, left: float, now: float, *, let_in: bool) -> None:
        told = self._announced.get(unit)
        if told is None:
            told = self._announced[unit] = self._first_heard(unit)
        if unit == Unit.REQUESTS and (window := self.finder.window) is not None:
            told.is_enforced(window[0] / self._share, window[1], edges=window[2])
        changed = told.news(left, now, quota, let_in=let_in)
        if told.rate is None:
            return
        pace = next((pace for pace in self.paces if pace.unit == unit), None)
        if pace is None:
            pace = self._new_pace(unit)
            if unit == Unit.REQUESTS and told.rate < inf:
                owed = self.finder.owed_until(self._share * told.rate, now)
                pace.tat = owed if quota.reset_seconds is None else min(owed, left + quota.reset_seconds)
        pace.retune(self._share * told.rate, now)
        if unit == Unit.REQUESTS:
            self.finder.announced(min(self._top, self._share * told.rate), now, changed=changed)

    def _first_heard(self, unit: int) -> Announced:
        from pipeline.core.pacing.announced import Announced  # noqa: PLC0415  not every provider announces limits

        return Announced(own=self._used_by_all if unit == Unit.REQUESTS else None)

    def _new_pace(self, unit: int) -> Pace:
        from pipeline.core.pacing.announced import Pace  # noqa: PLC0415  as above

        pace = Pace(unit)
        self.paces.append(pace)
        return pace

    def _used_by_all(self, start: float, end: float) -> float:
        """How many requests of all workers left from one time to another, as far as this one can tell."""
        return self.finder.log.count(start, end) / self._share

    def take_share(self, share: float, now: float) -> None:
        """Use this part of what is announced from now on."""
        if share == self._share:
            return
        self._share = share
        for pace in self.paces:
            rate = self._announced[pace.unit].rate
            if rate is not None:
                pace.retune(share * rate, now)
                if pace.unit == Unit.REQUESTS:
                    self.finder.announced(min(self._top, share * rate), now, changed=False)

    def pace(self, configured: float) -> tuple[float, str]:
        """How many requests a second may leave at most, inf without a bound, and why, in words. configured: what may by the config."""
        finder = self.finder
        if finder.mode is Mode.CLOSED:
            return 0.0, "the provider refuses everything at present"
        told = min((pace.rate for pace in self.paces if pace.unit == Unit.REQUESTS), default=inf)
        ceiling = (told, ANNOUNCED) if told < self._top else (configured, CONFIGURED)
        if finder.mode is Mode.OPEN or finder.rate >= min(told, self._top):
            return ceiling
        return finder.rate, NARROWING if finder.mode is Mode.HOLD and finder.span.unsure else WHY[finder.mode]

    # ---- for later -------------------------------------------------------------------------------------------------

    @property
    def learned(self) -> Learned | None:
        """What was found out, or None."""
        finder, requests = self.finder, self._announced.get(Unit.REQUESTS)
        told = {unit: round(60.0 * each.rate, 1) for unit, each in tuple(self._announced.items()) if each.rate not in (None, inf)}
        tokens = (told.get(Unit.TOKENS), told.get(Unit.INPUT_TOKENS), told.get(Unit.OUTPUT_TOKENS))
        if finder.crowd.capped:
            return Learned(told.get(Unit.REQUESTS), "in_flight", None, finder.crowd.bound, *tokens)
        if finder.span.estimate is not None and finder.mode is not Mode.OPEN:
            windows = finder.windows
            kind = windows.kind.value if windows.kind is not None else "bucket"
            return Learned(round(60.0 * finder.span.estimate, 1), kind, windows.period if windows.kind is not None else None, None, *tokens)
        if told:
            from pipeline.core.pacing.announced import QUOTA_PERIOD  # noqa: PLC0415  as above

            period = None if requests is None or requests.period >= QUOTA_PERIOD else requests.period
            return Learned(told.get(Unit.REQUESTS), "announced", period, None, *tokens)
        return None

    def share_found(self, part: Learned, now: float) -> None:
        """Use this part of what all workers together found. One that has found nothing so far begins with it."""
        finder, rate = self.finder, part.requests_per_minute
        if part.in_flight is not None or rate is None or not finder.share(rate / 60.0, now):
            self.restore(part, now)

    def restore(self, learned: Learned, now: float) -> None:
        """Go on from what an earlier run found out. It is tested soon, for it may have changed since."""
        if learned.in_flight is not None:
            self.finder.crowd.told(learned.in_flight + 1)
        if learned.requests_per_minute is not None and learned.kind not in ("announced", "in_flight"):
            self.finder.resume(learned.requests_per_minute / 60.0, learned.kind, learned.period, now)

    def rest(self, until: float) -> None:
        """Nothing leaves before `until`."""
        self.finder.rest(until)

    def retune(self, top: float, slots: int) -> None:
        """Other ceilings are configured."""
        self._top = top
        requests = self._announced.get(Unit.REQUESTS)
        self.finder.retune(slots, top if requests is None or requests.rate is None else min(top, self._share * requests.rate))


def limits_told(report: Report) -> ProviderLimits | None:
    """What the headers of an answer say of the provider's limits."""
    headers = report.headers
    if headers is None or (isinstance(headers, ResponseHeaders) and not headers.mention(EVERY_LIMIT)):
        return None
    from pipeline.core.answers.quotas import limits_in  # noqa: PLC0415  as above

    return limits_in(headers, report.now_utc)

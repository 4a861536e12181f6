"""Rate limits: all limits of one key at one endpoint, what has left under them, and what came of it. The only place that counts that."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Self

from pipeline.core.pacing.admission import ONE_REQUEST, UNBOUNDED, Admission, Wait
from pipeline.core.pacing.findings import Learned
from pipeline.core.pacing.learner import CONFIGURED
from pipeline.core.pacing.meter import TICK_SECONDS, Bound, Limit, Meter, costs_of, limits_from
from pipeline.messages import Grant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.core.answers.quotas import ProviderLimits

__all__ = ["TICK_SECONDS", "UNBOUNDED", "Bound", "Grant", "Lane", "Learned", "Limit", "Wait"]


class Lane(Admission):
    """All limits of one key at one endpoint. What may leave is for `Admission` to say.

    Every grant ends in exactly one call of `answered`, `refused` or `lost`, after which it counts as in flight no longer.
    """

    __slots__ = ()

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

    def go_on_from(self, before: Lane) -> None:
        """Go on with all that another lane of the same limits has learned, and learn together with it from here on."""
        if self._learner is not None and before._learner is not None:
            self._learner = before._learner
            self.counts_tokens = self._counts_tokens()

    def restore(self, learned: Learned, now: float) -> None:
        """Go on from what an earlier run found out."""
        if self._learner is not None:
            self._learner.restore(learned, now)

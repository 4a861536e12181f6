"""A lane whose limits are shared with other processes: it sends with the permits that it holds (see `permits`)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.pacing.lane import UNBOUNDED, Lane, Wait
from pipeline.core.pacing.meter import Bound, costs_of
from pipeline.core.pacing.permits import AGES, Demand
from pipeline.core.pacing.sliding_log import WINDOW_SECONDS_PER_PERIOD

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.core.pacing.findings import Learned
    from pipeline.core.pacing.meter import Costs, Limit
    from pipeline.core.pacing.permits import Permits, Reply
    from pipeline.messages import Grant

ASK_AGAIN_SECONDS = 0.02  # while a lane holds too few permits for what waits
# A lane on which somebody waited so recently is held back. With less, permits go to and fro among processes that get no CPU for a moment.
BOUND_SECONDS = 0.3
RATE_SECONDS = 0.1  # over which what is used is measured, at least
# After its ticket. An attempt that leaves later asks first (`delays`): the process may have been suspended, and others have its permits.
LATE_SECONDS = 0.05
# Tickets on their way to those who make the attempts, who take some 5 ms for so many. A process that is short of CPU would else give itself
# more than can leave within LATE_SECONDS, and each of these would have to ask: a worker took 140 µs of CPU a row, and 86 with this.
MOST_IN_HAND = 64


class Crew(Struct, eq=False):
    """What lanes have in common that learn together. in_flight: attempts; slots: how many there may be."""

    in_flight: int = 0
    slots: int = 0


class LeasedLane(Lane):
    """A lane that holds none of its permits at first. `receive` gives it some, `demand` reports and gives some back.

    A permit changes hands only when its attempt has left for good. A ticket is not yet a departure: the attempt may have to
    connect first, or the process was held up. Whoever makes it says so at once (`delays`), and asks before it leaves
    (`departs`); meanwhile its permits are out of reach. It must not leave if the lane has fallen out of touch meanwhile.
    Until tickets are known to be in the hands of those who make the attempts (`handed_out`), their permits are neither
    handed over nor reported as ages.
    """

    __slots__ = (
        "_aside",
        "_handed_out",
        "_in_hand",
        "_measured_at",
        "_need",
        "_own",
        "_rates",
        "_release",
        "_used",
        "_waited_at",
        "crew",
        "valid_until",
    )

    def __init__(self, limits: Iterable[Limit], *, slots: int = UNBOUNDED, learn: bool = False) -> None:
        self.crew = Crew(slots=slots)
        self._own = 0  # attempts in flight that are this lane's
        super().__init__(limits, slots=slots, learn=learn)
        for meter in self._meters:
            meter.hold(0, -inf)
        self._used = [0] * len(self._meters)  # since the last report, in each limit's unit
        self._rates = [0.0] * len(self._meters)
        self._release = [0] * len(self._meters)
        self._measured_at = -inf
        self._waited_at = -inf
        self._need = 0
        self._aside: dict[int, Costs] = {}  # of attempts that have not left yet, by the id of their grant
        self._handed_out = -inf  # clock of the newest tickets that were handed out
        self._in_hand = 0  # tickets that were given and not yet handed out
        self.valid_until = -inf  # without a word from the coordinator until then, nothing leaves

    @property
    def in_flight(self) -> int:
        """Attempts in flight, also those of lanes that learn together with this one."""
        return self.crew.in_flight

    @in_flight.setter
    def in_flight(self, count: int) -> None:
        self._own += count - self.crew.in_flight
        self.crew.in_flight = count

    @property
    def concurrency(self) -> int:
        """As `Admission.concurrency`: what a cap leaves this lane beside the others that learn with it."""
        return self._slots if self._learner is None else max(1, self._learner.finder.crowd.bound - (self.crew.in_flight - self._own))

    def go_on_from(self, before: Lane) -> None:
        """As `Lane.go_on_from`, before it has let anything leave. It may have nothing in flight until it is told how many."""
        super().go_on_from(before)
        if isinstance(before, LeasedLane):
            self.crew, self._slots = before.crew, 0

    def end(self) -> None:
        """It lets nothing leave any more, and others that learn with it go on."""
        self._set_slots(0)

    @property
    def shared(self) -> list[tuple[int, float, bool]]:
        """What a coordinator must know of the limits: amount, seconds, by tokens."""
        return [(int(meter.whole), meter.log.period * WINDOW_SECONDS_PER_PERIOD, meter.counts_tokens) for meter in self._meters]

    @property
    def held(self) -> list[int]:
        """How many permits of each limit it holds."""
        return [int(meter.amount) for meter in self._meters]

    @property
    def at_once(self) -> int:
        """As `Lane.at_once`. More may leave when the ones before have left (`handed_out`)."""
        return MOST_IN_HAND - self._in_hand if self._meters else UNBOUNDED

    def admit(self, now: float, tokens: int, output_tokens: int = 0) -> Grant | Wait:
        """As `Lane.admit`, with the permits that are held."""
        costs = costs_of(tokens, output_tokens)
        if now >= self.valid_until - LATE_SECONDS:
            self._waited_at = now
            return Wait(now + ASK_AGAIN_SECONDS, now + ASK_AGAIN_SECONDS, self._meters[0].bound if self._meters else Bound.PAUSE)
        for meter in self._meters:
            if meter.amount < costs[meter.unit]:
                self._waited_at = now
                self._need = max(self._need, costs[meter.unit] if meter.counts_tokens else 0)
                return Wait(now + ASK_AGAIN_SECONDS, now + ASK_AGAIN_SECONDS, meter.bound)
        granted = super().admit(now, tokens, output_tokens)
        if isinstance(granted, Wait):
            self._waited_at = now
        else:
            self._in_hand += 1
            for number, meter in enumerate(self._meters):
                self._used[number] += costs[meter.unit]
        return granted

    def delays(self, grant: Grant, now: float) -> None:
        """Note that an attempt has not left yet although it has its grant: it connects first, or comes late. `settle` says when it left."""
        self._now = -inf
        costs = self._aside[id(grant)] = costs_of(grant.tokens, grant.output)
        for meter in self._meters:
            meter.set_aside(grant, costs[meter.unit], now)

    def departs(self, grant: Grant, now: float) -> bool:
        """Whether an attempt that was delayed may leave now, which then counts. If not, it must not leave at all."""
        if id(grant) not in self._aside or now >= self.valid_until:
            return False  # others may have its permits by now
        costs = self._aside.pop(id(grant))
        self._now = -inf
        for meter in self._meters:
            meter.departs(grant, costs[meter.unit], now, now)
        grant.sent = now
        return True

    def handed_out(self, count: int, left: float, now: float) -> None:
        """Note that workers have so many more tickets, up to this clock: each attempt has left, or has said that it is late."""
        del now  # for whoever has the gate call it
        self._in_hand -= count
        self._handed_out = left

    def settle(
        self, grant: Grant, now: float, tokens: int | None = None, sent_at: float | None = None, output_tokens: int | None = None
    ) -> None:
        """As `Lane.settle`. An attempt that was delayed and never departed has not left."""
        costs = self._aside.pop(id(grant), None) if self._aside else None
        if costs is not None:
            self._now = -inf
            for meter in self._meters:
                meter.departs(grant, costs[meter.unit], None, now)
            return
        super().settle(grant, now, tokens, sent_at, output_tokens)

    def is_bound(self, now: float) -> bool:
        """Whether a limit holds it back just now."""
        return now - self._waited_at < BOUND_SECONDS

    def admit_many(self, now: float, count: int) -> Sequence[Grant]:
        """As `Lane.admit_many`, with the permits that are held."""
        if now >= self.valid_until - LATE_SECONDS:
            return ()
        grants = super().admit_many(now, count)
        self._in_hand += len(grants)
        for number in range(len(self._meters)):  # none of them counts tokens
            self._used[number] += len(grants)
        return grants

    def demand(self, now: float) -> Demand:
        """What to report to the coordinator now. It gives back what the last reply asked for."""
        bound = self.is_bound(now)
        back = self._give_back(self._release, now, self._sure_before)
        need, self._need = self._need, 0
        self._release = [max(0, wanted - sum(count for _, count in given)) for wanted, given in zip(self._release, back, strict=True)]
        ages = [meter.ages(now, AGES, self._sure_before) for meter in self._meters]
        return Demand(back, ages, bound, self.rates(now), need)

    def rates(self, now: float) -> list[float]:
        """What it uses a second of each limit, of late."""
        passed = now - self._measured_at
        if passed >= RATE_SECONDS:
            self._rates = [used / passed for used in self._used]
            self._used = [0] * len(self._meters)
            self._measured_at = now
        return list(self._rates)

    def has_slots(self, slots: int) -> bool:
        """Whether that many may be in flight by what was configured."""
        return self._slots == slots

    @property
    def wanted_back(self) -> list[int]:
        """How many permits of each limit the next report is to give back."""
        return self._release

    def receive(self, reply: Reply, now: float, valid_until: float = inf) -> None:
        """Take a coordinator's reply. valid_until: clock after which nothing leaves unless another reply has come."""
        for meter, grant in zip(self._meters, reply.grants, strict=True):
            if grant:
                meter.receive(grant, now)
        self._release = reply.release
        self.valid_until = valid_until
        self._now = -inf

    def retune(self, limits: Iterable[Limit], now: float, *, slots: int | None = None) -> None:
        """Allow another number of attempts in flight. Limits that are shared cannot be changed by one of those who share them."""
        del limits, now
        if slots is not None:
            self._set_slots(slots)

    def _set_slots(self, slots: int) -> None:
        self.crew.slots += slots - self._slots
        self._slots = slots
        if self._learner is not None and self.crew.slots:
            self._learner.retune(self._top(), self.crew.slots)

    def give_all_back(self, now: float) -> list[Permits]:
        """Part with all permits, at the end or because others have them by now. What has not left yet must not leave any more."""
        self._aside.clear()
        return self._give_back(self.held, now)

    @property
    def _sure_before(self) -> float:
        """Clock; what was let leave before has left, unless it is set aside."""
        return self._handed_out if self._in_hand else inf

    def share_announced(self, share: float, now: float) -> None:
        """Use this part of what the provider announces from now on."""
        if self._learner is not None:
            self._learner.take_share(share, now)

    def share_found(self, part: Learned, now: float) -> None:
        """Use this part of what all workers together found from now on."""
        if self._learner is not None:
            self._learner.share_found(part, now)

    def _top(self) -> float:
        """The requests a second that the limits allow, to all together."""
        return min((meter.whole / meter.period for meter in self._meters if not meter.counts_tokens), default=inf)

    def _give_back(self, counts: Sequence[int], now: float, before: float = inf) -> list[Permits]:
        self._now = -inf
        return [meter.give_back(count, now, before) for meter, count in zip(self._meters, counts, strict=True)]

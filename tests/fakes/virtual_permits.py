"""Processes that share a limit, on virtual time: lanes, one coordinator, messages that take time, deaths and late starts."""

from __future__ import annotations

import heapq
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.pacing.lane import Limit, Wait
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import Coordinator

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.pacing.permits import Demand, Reply
    from pipeline.messages import Grant

TICK_SECONDS = 0.010
EXPIRY_SECONDS = 1.0  # without an answer for so long a holder sends nothing more


@define(frozen=True)
class Plan:
    """What happens. demand: of each holder in each part of the time. deaths: (share of the time, holder, leaves a process running)."""

    limit: Limit
    demand: tuple[tuple[bool, ...], ...]
    seconds: float
    delay_seconds: float = 0.002
    report_seconds: float = 0.1
    deaths: tuple[tuple[float, int, bool], ...] = ()
    tokens: tuple[int, int] | None = None
    late_seconds: float = 0.0
    seed: int = 0


@define(eq=False)
class Holder:
    """One process. dead: it sends nothing more. cut: nobody hears it any more."""

    name: str
    number: int
    lane: LeasedLane
    dead: bool = False
    cut: bool = False


@define(eq=False)
class Cluster:
    """Runs a plan. departures: (clock, cost) of every attempt that left, by whichever holder."""

    plan: Plan
    now: float = 100.0
    departures: list[tuple[float, int]] = field(factory=list)
    coordinator: Coordinator = field(init=False)
    holders: dict[int, Holder] = field(factory=dict)
    _queue: list[tuple[float, int, Callable[[], None]]] = field(factory=list)
    _numbers: count[int] = field(factory=count)
    _random: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(self.plan.seed)
        self.coordinator = Coordinator.of(LeasedLane([self.plan.limit]).shared)

    def run(self) -> None:
        end = self.now + self.plan.seconds
        for number in range(len(self.plan.demand)):
            self._at(0.0, partial(self._start, number))
        for share, number, runs_on in self.plan.deaths:
            self._at(share * self.plan.seconds, partial(self._die, number, runs_on=runs_on))
        while self._queue and self._queue[0][0] < end:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            self.check_permits()

    def check_permits(self) -> None:
        """Every permit is in the pool or held by somebody, as the coordinator counts."""
        for number, pool in enumerate(self.coordinator.pools):
            held = sum(holder.held[number] for holder in self.coordinator.holders.values())
            assert pool.size + held == pool.amount

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), act))

    def _start(self, number: int) -> None:
        holder = Holder(f"{number}.{next(self._numbers)}", number, LeasedLane([self.plan.limit]))
        self.holders[number] = holder
        self._at(self._random.random() * TICK_SECONDS, partial(self._send, holder))
        self._at(self._random.random() * TICK_SECONDS, partial(self._report, holder))

    def _wants(self, number: int) -> bool:
        parts = self.plan.demand[number]
        passed = (self.now - 100.0) / self.plan.seconds
        return parts[min(len(parts) - 1, int(passed * len(parts)))]

    def _send(self, holder: Holder) -> None:
        if holder.dead:
            return
        while self._wants(holder.number):
            cost = self._random.randint(*self.plan.tokens) if self.plan.tokens else 0
            granted = holder.lane.admit(self.now, cost)
            if isinstance(granted, Wait):
                break
            if self.plan.late_seconds and self._random.random() < 0.3:
                holder.lane.delays(granted, self.now)
                self._at(self._random.random() * self.plan.late_seconds, partial(self._left, holder, granted, cost))
            else:
                self.departures.append((self.now, cost or 1))
            holder.lane.handed_out(1, self.now, self.now)
        self._at(TICK_SECONDS + self._random.expovariate(500), partial(self._send, holder))

    def _left(self, holder: Holder, granted: Grant, cost: int) -> None:
        if holder.lane.departs(granted, self.now):
            self.departures.append((self.now, cost or 1))

    def _delay(self) -> float:
        return self.plan.delay_seconds * self._random.lognormvariate(0, 0.5)

    def _report(self, holder: Holder) -> None:
        if holder.dead or holder.cut:
            return
        self._at(self._delay(), partial(self._arrive, holder, holder.lane.demand(self.now), self.now + EXPIRY_SECONDS))

    def _arrive(self, holder: Holder, demand: Demand, valid_until: float) -> None:
        if holder.name not in self.coordinator.given_up:
            self._at(self._delay(), partial(self._answered, holder, self.coordinator.report(holder.name, demand, self.now), valid_until))

    def _answered(self, holder: Holder, reply: Reply, valid_until: float) -> None:
        holder.lane.receive(reply, self.now, valid_until)
        self._at(self.plan.report_seconds, partial(self._report, holder))

    def _die(self, number: int, *, runs_on: bool) -> None:
        holder = self.holders[number]
        if holder.cut:
            return  # nobody dies twice
        holder.cut, holder.dead = True, not runs_on

        def notice() -> None:
            if holder.name in self.coordinator.holders:
                self.coordinator.give_up(holder.name, self.now, EXPIRY_SECONDS if runs_on else 0.0)
            self._start(number)

        # what was on its way has arrived: a death is told by the system after the last message, a silence after the expiry
        self._at(0.5 + 20 * self.plan.delay_seconds, notice)

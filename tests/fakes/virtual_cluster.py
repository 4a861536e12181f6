"""Workers that share a run's limits, on virtual time: lanes, the coordinator, messages that take time, and everything that goes wrong."""

from __future__ import annotations

import heapq
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.cluster.coordination import CoordinatorCore, Kept
from pipeline.core.cluster.talk import LaneReport, Poll, SharedLane
from pipeline.core.pacing.lane import Bound, Limit, Wait
from pipeline.core.pacing.leased import LATE_SECONDS, LeasedLane
from pipeline.core.pacing.permits import GivenUpError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.cluster.talk import Told
    from pipeline.messages import Grant

TICK_SECONDS = 0.010
LOOK_SECONDS = 0.05
HANDED_OUT_SECONDS = 0.0003  # after the tickets; within what a limit's log absorbs
SAVE_SECONDS = 1.0
SLOTS = 1 << 20
BEGUN = 100.0


@define(frozen=True)
class Trouble:
    """Something that happens. at: share of the time.

    what: "kill", "cut" (called dead, and runs on), "sleep" (suspended) or "coordinator" (it ends, and another one begins).
    """

    at: float
    what: str
    worker: int = 0
    seconds: float = 0.0


@define(frozen=True)
class Plan:
    """What happens. demand: of each worker in each part of the time. late_seconds: how long after its ticket an attempt leaves at most.

    joins: share of the time at which each worker comes. expiry: silence after which a worker lets nothing leave.
    """

    limit: Limit
    demand: tuple[tuple[bool, ...], ...]
    seconds: float
    delay_seconds: float = 0.002
    park_seconds: float = 0.25
    expiry: float = 3.0
    joins: tuple[float, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    tokens: tuple[int, int] | None = None
    late_seconds: float = 0.0
    late_share: float = 0.3
    seed: int = 0


def random_plan(seed: int) -> Plan:
    """Any plan: up to five workers, every trouble at any time, tokens, bursts, attempts that leave up to two periods late."""
    random = Random(seed)
    by_tokens = random.random() < 0.3
    workers = random.randint(1, 5)
    if by_tokens:
        limit = Limit(Bound.TOKENS_PER_MINUTE, random.randint(800, 20_000), 2.0)
    else:
        burst = random.choice([None, None, 1, random.randint(2, 50)])
        limit = Limit(
            Bound.REQUESTS_PER_SECOND, random.choice([1, 3, 20, 200, random.randint(1, 200)]), random.choice([0.5, 1.0, 4.0]), burst
        )
    expiry = random.choice([0.3, 1.0])
    troubles = [
        Trouble(
            random.uniform(0.02, 0.98),
            random.choice(["kill", "cut", "sleep", "coordinator"]),
            random.randrange(workers),
            random.choice([0.0, 0.2, expiry, 3 * expiry]),
        )
        for _ in range(random.randint(0, 6))
    ]
    return Plan(
        limit,
        demand=tuple(tuple(random.random() < 0.7 for _ in range(random.randint(1, 6))) for _ in range(workers)),
        seconds=max(3 * limit.period, 5 * expiry),
        delay_seconds=random.choice([0.0005, 0.002, 0.05]),
        park_seconds=random.choice([0.02, 0.1, expiry / 3]),
        expiry=expiry,
        joins=tuple(random.choice([0.0, 0.0, 0.2, 0.5]) for _ in range(workers)),
        troubles=tuple(troubles),
        tokens=(1, 800) if by_tokens else None,
        late_seconds=random.choice([0.0, 0.02, limit.period / 2, 2 * limit.period]),
        late_share=random.choice([0.05, 0.3, 1.0]),
        seed=seed,
    )


@define(eq=False)
class Worker:
    """One process with one flow.

    dead: it does nothing more. cut: nobody hears it, and it hears nobody. wakes: clock until which it sleeps.
    """

    name: str
    number: int
    lane: LeasedLane
    generation: int = 0
    joins: bool = True
    dead: bool = False
    cut: bool = False
    wakes: float = 0.0
    told: tuple[bool, float] = (True, 0.0)
    parked: int = 0
    messages: int = 0
    epoch: int = 0

    @property
    def holder(self) -> str:
        return f"{self.name}/{self.generation}"


@define(eq=False)
class Cluster:
    """Runs a plan. departures: (clock, cost) of every attempt that left, by whichever worker. moved: permits that were granted."""

    plan: Plan
    now: float = BEGUN
    departures: list[tuple[float, int]] = field(factory=list)
    messages: int = 0
    coordinator: CoordinatorCore = field(init=False)
    workers: dict[int, Worker] = field(factory=dict)
    _waiting: dict[int, Worker] = field(factory=dict)
    _valid: dict[int, tuple[str, float]] = field(factory=dict)
    _lane: SharedLane = field(init=False)
    _kept: tuple[float, Kept] | None = None
    _queue: list[tuple[float, int, Callable[[], None]]] = field(factory=list)
    _numbers: count[int] = field(factory=count)
    _random: Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._random = Random(self.plan.seed)
        self._lane = SharedLane("", LeasedLane([self.plan.limit]).shared, SLOTS)
        self.coordinator = CoordinatorCore([self._lane], [], expiry=self.plan.expiry, now=self.now, epoch=1)

    def run(self) -> None:
        plan, end = self.plan, self.now + self.plan.seconds
        for number in range(len(plan.demand)):
            self._at(plan.seconds * (plan.joins[number] if plan.joins else 0.0), partial(self._start, number))
        for trouble in plan.troubles:
            self._at(trouble.at * plan.seconds, partial(self._meet, trouble))
        self._save()
        while self._queue and self._queue[0][0] < end:
            self.now, _, act = heapq.heappop(self._queue)
            act()
            self.check_permits()

    def check_permits(self) -> None:
        """Law L1: every permit is in the pool or held by somebody, as the coordinator counts."""
        permits = self.coordinator.desks[""].permits
        for number, pool in enumerate(permits.pools):
            held = sum(holder.held[number] for holder in permits.holders.values())
            assert pool.size + held == pool.amount
            assert all(each > 0 for _, each in pool.free)

    def attained(self, skip: float) -> float:
        """What left of what was allowed, without the first seconds."""
        limit = self.plan.limit
        left = sum(cost for at, cost in self.departures if at >= BEGUN + skip)
        return left / ((self.plan.seconds - skip) * limit.amount / limit.period)

    # ---- a worker ---------------------------------------------------------------------------------------------------

    def _start(self, number: int) -> None:
        worker = Worker(f"w{number}-{next(self._numbers)}", number, LeasedLane([self.plan.limit]))
        self.workers[number] = worker
        self._at(self._random.random() * TICK_SECONDS, partial(self._send, worker))
        self._at(self._random.random() * TICK_SECONDS, partial(self._poll, worker, parks=True))
        self._at(LOOK_SECONDS, partial(self._look, worker))

    def _sleeps(self, worker: Worker, act: Callable[[], None]) -> bool:
        """Whether a worker does nothing now: it does so when it wakes up, if it ever does."""
        if not worker.dead and self.now < worker.wakes:
            self._at(worker.wakes - self.now + self._random.random() * 0.001, act)
        return worker.dead or self.now < worker.wakes

    def _wants(self, number: int) -> bool:
        parts = self.plan.demand[number]
        return parts[min(len(parts) - 1, int((self.now - BEGUN) / self.plan.seconds * len(parts)))]

    def _send(self, worker: Worker) -> None:
        if self._sleeps(worker, partial(self._send, worker)):
            return
        group: list[tuple[Grant, int]] = []
        if self._wants(worker.number) and not self.plan.tokens:  # the gate asks for many first, and then why no more leave
            group += [(granted, 0) for granted in worker.lane.admit_many(self.now, SLOTS)]
        while self._wants(worker.number):
            cost = self._random.randint(*self.plan.tokens) if self.plan.tokens else 0
            granted = worker.lane.admit(self.now, cost)
            if isinstance(granted, Wait):
                break
            group.append((granted, cost))
        if group:
            self._at(HANDED_OUT_SECONDS, partial(self._hand_out, worker, group))
        self._at(TICK_SECONDS + self._random.expovariate(500), partial(self._send, worker))

    def _hand_out(self, worker: Worker, group: list[tuple[Grant, int]]) -> None:
        """Attempts set out with their tickets. One that has to connect first, or comes late because the process slept, says so."""
        if self._sleeps(worker, partial(self._hand_out, worker, group)):
            return
        for granted, cost in group:
            connects = self.plan.late_seconds > 0 and self._random.random() < self.plan.late_share
            if connects or self.now - granted.left > LATE_SECONDS:
                worker.lane.delays(granted, self.now)
                self._at(self._random.random() * self.plan.late_seconds, partial(self._leave, worker, granted, cost))
            else:
                self.departures.append((self.now, cost or 1))
        worker.lane.handed_out(len(group), group[-1][0].left, self.now)

    def _leave(self, worker: Worker, granted: Grant, cost: int) -> None:
        if self._sleeps(worker, partial(self._leave, worker, granted, cost)):
            return
        if worker.lane.departs(granted, self.now):
            self.departures.append((self.now, cost or 1))

    # ---- messages ---------------------------------------------------------------------------------------------------

    def _look(self, worker: Worker) -> None:
        if self._sleeps(worker, partial(self._look, worker)):
            return
        bound, (rate, *_) = worker.lane.is_bound(self.now), worker.lane.rates(self.now)
        was, before = worker.told
        if bound != was or (not bound and abs(rate - before) > 0.3 * before + 2) or any(worker.lane.wanted_back):
            self._poll(worker, parks=False)
        self._at(LOOK_SECONDS, partial(self._look, worker))

    def _poll(self, worker: Worker, *, parks: bool) -> None:
        if self._sleeps(worker, partial(self._poll, worker, parks=parks)):
            return
        demand = worker.lane.demand(self.now)
        worker.told = demand.bound, demand.rates[0]
        worker.messages += 1
        poll = Poll(worker.name, {worker.holder: [LaneReport(demand, worker.joins, SLOTS)]}, number=worker.messages)
        self.messages += 1
        self._at(self._delay(), partial(self._arrive, worker, worker.holder, poll, self.now + self.plan.expiry, parks=parks))

    def _arrive(self, worker: Worker, holder: str, poll: Poll, valid_until: float, *, parks: bool) -> None:
        if worker.cut:
            return
        try:
            self.coordinator.take(poll, self.now)
        except GivenUpError:
            return  # it hears nothing, and stops
        number = worker.parked = next(self._numbers)
        if parks and not self.coordinator.has_news(worker.name, self.now):
            self._waiting[number] = worker
            self._at(self.plan.park_seconds, partial(self._unpark, number, holder, valid_until))
            self._valid[number] = holder, valid_until
        else:
            self._answer(worker, holder, valid_until, parks=parks)
        self._ring()

    def _ring(self) -> None:
        for number, worker in list(self._waiting.items()):
            if self.coordinator.has_news(worker.name, self.now):
                self._unpark(number, *self._valid[number])

    def _unpark(self, number: int, holder: str, valid_until: float) -> None:
        worker = self._waiting.pop(number, None)
        if worker is not None and worker.name in self.coordinator.workers:
            self._answer(worker, holder, valid_until, parks=True)

    def _answer(self, worker: Worker, holder: str, valid_until: float, *, parks: bool) -> None:
        told = self.coordinator.answer(worker.name, self.now)
        self._at(self._delay(), partial(self._hear, worker, holder, told, valid_until, parks=parks))

    def _hear(self, worker: Worker, holder: str, told: Told, valid_until: float, *, parks: bool) -> None:
        if worker.cut or self._sleeps(worker, partial(self._hear, worker, holder, told, valid_until, parks=parks)):
            return
        if told.epoch > worker.epoch > 0 or worker.holder in told.given_up:
            worker.lane.give_all_back(self.now)
            worker.generation += 1
            worker.joins = True
        overtaken, worker.epoch = told.epoch < worker.epoch, max(worker.epoch, told.epoch)
        if overtaken or holder != worker.holder:
            pass
        elif holder in told.lanes:
            worker.lane.receive(told.lanes[holder][0].reply, self.now, max(worker.lane.valid_until, valid_until))
            worker.joins = False
        if parks:
            self._poll(worker, parks=True)

    # ---- trouble ----------------------------------------------------------------------------------------------------

    def _meet(self, trouble: Trouble) -> None:
        if trouble.what == "coordinator":
            self._restart()
            return
        worker = self.workers.get(trouble.worker)
        if worker is None or worker.cut or worker.dead:
            return
        if trouble.what == "sleep":
            worker.wakes = self.now + trouble.seconds
            return
        runs_on = trouble.what == "cut"
        worker.cut, worker.dead = True, not runs_on

        def notice() -> None:
            self.coordinator.lost(worker.name, self.now, may_run=runs_on)
            self._start(worker.number)
            self._ring()

        self._at(0.02 + self._delay() + trouble.seconds, notice)

    def _save(self) -> None:
        self.coordinator.look(self.now)
        self._kept = self.now, self.coordinator.kept(self.now)
        self._at(SAVE_SECONDS, self._save)

    def _restart(self) -> None:
        """The coordinator ends; another one begins from what was kept. Every worker's question fails, and it asks again."""
        assert self._kept is not None
        at, kept = self._kept
        lost = list(self._waiting.values())
        self._waiting.clear()
        passed = (self.now - at) * (0.9 if self._random.random() < 0.5 else 1.0)  # clocks of two machines
        self.coordinator = CoordinatorCore(
            [self._lane], [], expiry=self.plan.expiry, now=self.now, kept=kept, passed=passed, epoch=self.coordinator.epoch + 1
        )
        for worker in lost:
            if not worker.dead and not worker.cut:
                self._at(self._delay(), partial(self._poll, worker, parks=True))

    def _delay(self) -> float:
        return self.plan.delay_seconds * self._random.lognormvariate(0, 0.5)

    def _at(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._numbers), act))

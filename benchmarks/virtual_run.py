"""Drives a lane against a hidden limit on virtual time, as the gate would, with rows without end waiting.

Latency lognormal, cut to 1-20 s; 20-40 ms of network one way; a refusal comes back as soon as it can. Deterministic for a seed.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from pipeline.core.answers.quotas import ProviderLimits, Quota
from pipeline.core.pacing.lane import Wait

if TYPE_CHECKING:
    from benchmarks.hidden_limits import Room, Server
    from pipeline.core.pacing.lane import Lane
    from pipeline.messages import Grant

Speak = Callable[[float, "Room"], "ProviderLimits | None"]


@frozen
class World:
    """What lies between a lane and a server, and who else is there.

    waits: "whole" (Retry-After in whole seconds), "exact", "one" (always a second) or "none". speak: makes the headers of an
    answer. neighbour: requests a second that somebody else sends, at a time. cost: (real, estimate) of a request, drawn. rows:
    so many there are; those that were refused come back.
    """

    seconds: float = 300.0
    slots: int = 200
    seed: int = 1
    waits: str = "whole"
    speak: Speak | None = None
    neighbour: Callable[[float], float] | None = None
    cost: Callable[[random.Random], tuple[int, int]] | None = None
    by_tokens: bool = False
    latency: float = 4.0
    sigma: float = 0.6
    shortest: float = 1.0
    network: float = 0.02
    jitter: float = 0.02
    parallel: bool = False
    rows: int = 1 << 40
    start: float = 0.0


@define
class Book:
    """What happened: when the server let in and refused, and what the neighbour got."""

    let_in: list[float] = field(factory=list)
    costs: list[float] = field(factory=list)
    refused: list[float] = field(factory=list)
    neighbour: list[float] = field(factory=list)
    answered: int = 0
    ended_at: float = 0.0
    most_in_flight: int = 0

    def attained(self, server: Server, start: float, end: float) -> float:
        """What was let in from start to end, over what the limit allowed less what the neighbour took."""
        steps = max(1, round((end - start) / 0.5))
        step = (end - start) / steps
        allowed = sum(server.per_second(start + (place + 0.5) * step) for place in range(steps)) * step
        taken = bisect_left(self.neighbour, end) - bisect_left(self.neighbour, start)
        got = sum(self.costs[bisect_left(self.let_in, start) : bisect_left(self.let_in, end)])
        return got / max(1e-9, allowed - taken)

    def refused_share(self, start: float = 0.0, end: float = math.inf) -> float:
        """429s of all attempts that arrived from start to end."""
        refused = bisect_left(self.refused, end) - bisect_left(self.refused, start)
        let_in = bisect_left(self.let_in, end) - bisect_left(self.let_in, start)
        return refused / max(1, refused + let_in)


def drive(lane: Lane, server: Server, world: World) -> Book:
    """Run for a while, or until all rows are answered."""
    return _Drive(lane, server, world).run()


class _Drive:
    def __init__(self, lane: Lane, server: Server, world: World) -> None:
        self.lane, self.server, self.world = lane, server, world
        self.random = random.Random(world.seed)
        self.book = Book()
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.pushed = 0
        self.in_flight = 0
        self.left = world.rows
        self.wake_at = math.inf
        self.now = world.start
        self.next_cost = self.draw_cost()

    def push(self, at: float, what: Callable[..., None], *args: Any) -> None:
        self.pushed += 1
        heapq.heappush(self.events, (at, self.pushed, what, args))

    def draw_cost(self) -> tuple[int, int]:
        return (1, 0) if self.world.cost is None else self.world.cost(self.random)

    def run(self) -> Book:
        world = self.world
        end = world.start + world.seconds
        if world.neighbour is not None:
            self.plan_neighbour(world.neighbour, end)
        self.push(self.now, self.nothing)
        while self.events and self.book.answered < world.rows:
            self.now, _, what, args = heapq.heappop(self.events)
            if self.now > end:
                break
            if what == self.wake:
                self.wake_at = math.inf
            what(*args)
            if what != self.neighbour_arrives:
                self.pump()
        self.book.ended_at = self.now
        return self.book

    def nothing(self) -> None:
        pass

    def wake(self) -> None:
        pass

    def plan_neighbour(self, rate: Callable[[float], float], end: float) -> None:
        at = self.now
        while at < end:
            per_second = rate(at)
            if per_second <= 0:
                at += 0.5
            else:
                at += self.random.expovariate(per_second)
                self.push(at, self.neighbour_arrives)

    def neighbour_arrives(self) -> None:
        if self.server.take(self.now, 1).let_in:
            self.book.neighbour.append(self.now)

    def pump(self) -> None:
        while self.left > 0 and self.in_flight < min(self.world.slots, self.lane.concurrency):
            answer = self.lane.admit(self.now, self.next_cost[1])
            if isinstance(answer, Wait):
                if answer.wake < self.wake_at and answer.wake < math.inf:
                    self.wake_at = answer.wake
                    self.push(answer.wake, self.wake)
                return
            self.left -= 1
            self.in_flight += 1
            self.book.most_in_flight = max(self.book.most_in_flight, self.in_flight)
            self.push(self.now + self.world.network + self.random.random() * self.world.jitter, self.arrive, answer, self.next_cost)
            self.next_cost = self.draw_cost()

    def arrive(self, grant: Grant, cost: tuple[int, int]) -> None:
        world = self.world
        room = self.server.take(self.now, cost[0] if world.by_tokens else 1)
        said = None if world.speak is None else world.speak(self.now, room)
        latency = 0.0
        if room.let_in or room.late:
            latency = min(20.0, max(world.shortest, self.random.lognormvariate(math.log(world.latency), world.sigma)))
        if room.let_in:
            self.book.let_in.append(self.now)
            self.book.costs.append(cost[0] if world.by_tokens else 1)
            self.push(self.now + latency, self.leave_server)
            self.push(self.now + latency + world.network, self.answer, grant, said, cost)
        elif room.broken:
            self.push(self.now + latency + world.network + self.random.random() * world.jitter, self.lose, grant, room)
        else:
            self.book.refused.append(self.now)
            self.push(self.now + latency + world.network + self.random.random() * world.jitter, self.refuse, grant, room, said)

    def leave_server(self) -> None:
        self.server.done(self.now)

    def answer(self, grant: Grant, said: ProviderLimits | None, cost: tuple[int, int]) -> None:
        self.in_flight -= 1
        self.book.answered += 1
        self.lane.settle(grant, self.now, cost[0] if self.world.by_tokens else None, grant.left)
        if self.lane.answered(grant, self.now) and said is not None:
            self.lane.news(grant, self.now, said)

    def lose(self, grant: Grant, room: Room) -> None:
        self.in_flight -= 1
        self.push(self.now + (room.wait or 1.0) + self.random.random() * 0.5, self.come_back)
        self.lane.lost(grant, self.now)

    def refuse(self, grant: Grant, room: Room, said: ProviderLimits | None) -> None:
        world = self.world
        self.in_flight -= 1
        wait = None
        if room.wait is not None and world.waits == "whole":
            wait = float(max(1, math.ceil(room.wait)))
        elif world.waits == "one":
            wait = 1.0
        elif room.wait is not None and world.waits == "exact":
            wait = max(0.001, room.wait)
        self.push(self.now + (wait or 1.0) + self.random.random() * 0.5, self.come_back)
        self.lane.refused(grant, self.now, wait, said, parallel=world.parallel)

    def come_back(self) -> None:
        self.left += 1


def per_minute(server: Server) -> Speak:
    """Headers as OpenAI's: limit per minute, remaining, and reset = used / rate, whatever is enforced."""
    log: list[float] = []

    def speak(now: float, room: Room) -> ProviderLimits | None:
        rate = server.per_second(now)
        while log and log[0] <= now - 60:
            log.pop(0)
        if room.let_in:
            log.append(now)
        elif room.limit <= 0:
            return None  # a relay's own refusal, which knows nothing of the limit
        quota = Quota(rate * 60, max(0.0, rate * 60 - len(log)), len(log) / rate)
        return ProviderLimits(requests=quota, tokens=Quota())

    return speak


def as_enforced(now: float, room: Room) -> ProviderLimits | None:
    """Headers that say what is enforced: the window's limit, what remains of it, and seconds to its reset."""
    del now
    if room.limit <= 0:
        return None
    return ProviderLimits(requests=Quota(room.limit, room.remaining, room.reset), tokens=Quota())

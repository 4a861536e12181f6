"""Processes that share a limit, on a clock that is set by hand; and a `LimitLease` without a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.pacing.lane import Wait
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import GivenUpError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.pacing.lane import Limit
    from pipeline.core.pacing.permits import Coordinator, Demand, Permits, Reply
    from pipeline.ports import LimitLease


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """One process: a lane and its lease, on one clock."""

    def __init__(self, clock: Clock, lease: LimitLease, limit: Limit) -> None:
        self.clock, self.lease, self.lane = clock, lease, LeasedLane([limit])

    def report(self) -> None:
        """One report, as the stage makes it."""
        begun = self.clock.now
        try:
            reply = self.lease.report(self.lane.demand(begun))
        except GivenUpError:
            self.lane.give_all_back(self.clock.now)
            raise
        self.lane.receive(reply, self.clock.now, begun + self.lease.valid_seconds)

    def send(self, most: int = 1_000_000) -> int:
        """Send all that may leave now, at most so many; how much that was."""
        count = 0
        while count < most and not isinstance(self.lane.admit(self.clock.now, 0), Wait):
            count += 1
        self.lane.handed_out(count, self.clock.now, self.clock.now)
        return count

    @property
    def held(self) -> int:
        """Permits that it holds."""
        return self.lane.held[0]


@define(eq=False)
class LeaseInMemory:
    """One holder. expiry: seconds of silence after which it is given up for dead, by whoever reports next."""

    coordinator: Coordinator
    clock: Callable[[], float]
    valid_seconds: float = 2.0
    expiry: float = 3.0
    _names: list[str] = field(factory=lambda: [""])

    def report(self, demand: Demand) -> Reply:
        now = self.clock()
        for name, holder in list(self.coordinator.holders.items()):
            if now - holder.seen > self.expiry:
                self.coordinator.give_up(name, now)
        name = f"{id(self)}{self._names[-1]}"
        if name in self.coordinator.given_up:
            self._names.append(self._names[-1] + "+")
        return self.coordinator.report(name, demand, now)

    def leave(self, back: Sequence[Permits]) -> None:
        self.coordinator.leave(f"{id(self)}{self._names[-1]}", back, self.clock())

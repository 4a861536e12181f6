"""A store in memory that does what the port says, as the simplest thing that could: for the tests of single stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field

from pipeline.core.bookkeeping.intervals import Intervals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.records import Outcome


@define(eq=False)
class FakeStore:
    """Keeps everything, and tells in its fields what happened. size: bytes of every item."""

    size: int = 1
    has_room: bool = True
    linger_seconds: float = 0.0
    lingers: int = 1
    held: Intervals = field(factory=Intervals)
    first_index: int = 0
    done: set[int] = field(factory=set)
    begun: list[int] = field(factory=list)
    in_flight: list[int] = field(factory=list)
    kept: list[int] = field(factory=list)
    groups: list[list[Outcome]] = field(factory=list)
    asked: list[int] = field(factory=list)
    recorded: dict[int, Outcome] = field(factory=dict)
    written: list[Outcome] = field(factory=list)
    is_behind: bool = False
    room: trio.Event = field(factory=trio.Event)

    def begin(self, rows: Sequence[RawRow], first: int) -> Collection[int]:
        self.begun += range(first, first + len(rows))
        return self.done

    def left(self, index: int) -> None:
        self.in_flight.append(index)

    def cleared(self, index: int) -> None:
        self.in_flight.remove(index)

    def keep(self, outcome: Outcome) -> Outcome:
        self.kept.append(outcome.index)
        return outcome

    async def catch_up(self) -> None:
        await self.room.wait()

    async def record(self, outcomes: list[Outcome]) -> list[Outcome]:
        await trio.lowlevel.checkpoint()
        self.record_now(outcomes)
        return outcomes

    def record_now(self, outcomes: list[Outcome]) -> None:
        self.groups.append(outcomes)
        self.recorded.update((outcome.index, outcome) for outcome in outcomes)

    async def read_back(self, first: int, count: int) -> list[Outcome]:
        await trio.lowlevel.checkpoint()
        self.asked.append(count)
        return [self.recorded[index] for index in range(first, first + count)]

    def size_of(self, items: Sequence[Outcome]) -> int:
        return self.size * len(items)

    async def write(self, items: list[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.written += items

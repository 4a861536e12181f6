"""An observer that keeps all that it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.events import AttemptRecord, RunEvent


@define(eq=False)
class Book:
    """groups: how many there were in each group of records."""

    records: list[AttemptRecord] = field(factory=list)
    told: list[RunEvent] = field(factory=list)
    groups: list[int] = field(factory=list)

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        self.records += records
        self.groups.append(len(records))

    def events(self, events: Sequence[RunEvent]) -> None:
        assert events
        self.told += events

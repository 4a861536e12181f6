"""The wiring: a stage that cannot pass its rows on ends the run; nobody waits for rows that are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define

from tests.fakes.house import House, Plan, RowPlan

if TYPE_CHECKING:
    from pipeline.records import Outcome


@define
class LeavingHouse(House):
    """Its output goes away without a word after the first rows."""

    async def emit(self, items: list[Outcome]) -> None:
        if self.written:
            raise trio.BrokenResourceError
        await super().emit(items)


def test_an_output_that_goes_away_without_a_word_ends_the_run() -> None:
    house = LeavingHouse(Plan(rows=(RowPlan(),) * 100, window=10, workers=3))

    house.run()

    assert len(house.written) < 100
    assert house.opened == house.closed

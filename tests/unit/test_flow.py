"""Whole runs on virtual time: neither a lost stage nor a lost provider may cost rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define

from pipeline.records import FaultCause, Success
from tests.fakes.virtual_run import Outage, Plan, RowPlan, Try, VirtualRun

if TYPE_CHECKING:
    from pipeline.records import Outcome


@define
class RunWhoseOutputLeaves(VirtualRun):
    """Its output goes away without a word after the first rows."""

    async def emit(self, items: list[Outcome]) -> None:
        if self.written:
            raise trio.BrokenResourceError
        await super().emit(items)


def test_an_output_that_goes_away_without_a_word_ends_the_run() -> None:
    run = RunWhoseOutputLeaves(Plan(rows=(RowPlan(),) * 100, window=10, workers=30))

    run.run()

    assert 0 < len(run.written) < 100
    assert run.opened == run.closed > 0


def out_of_reach(begins: float, ends: float) -> tuple[Outage, ...]:
    return (Outage(begins, ends, Try(FaultCause.REFUSED, after=0.0)),)


@pytest.mark.parametrize("seconds", [0.3, 2.0, 12.0])
@pytest.mark.parametrize("workers", [1, 4, 20])
def test_no_row_is_lost_for_a_provider_that_cannot_be_reached_for_a_while(workers: int, seconds: float) -> None:
    outages = out_of_reach(0.05, 0.05 + seconds)
    run = VirtualRun(Plan(rows=(RowPlan(),) * 200, window=50, workers=workers, attempts=3, outages=outages)).run()

    assert [type(outcome) for outcome in run.written] == [Success] * 200


def test_a_provider_that_can_never_be_reached_stops_the_run_and_no_row_is_written() -> None:
    run = VirtualRun(Plan(rows=(RowPlan(),) * 30, window=50, workers=4, attempts=3, outages=out_of_reach(0.0, 1e9))).run()

    assert run.written == []
    assert "refused by the plan" in (run.tallies.gate.stopped or "")
    assert 120 <= run.ended - run.started <= 130  # a fifth of the patience, because nothing was ever answered

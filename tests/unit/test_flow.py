"""Whole runs on virtual time: neither a lost stage nor a lost provider may cost rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from attrs import define

from pipeline.records import Answer, FailureKind, Fault, FaultCause, Success
from tests.fakes.virtual_run import Plan, RowPlan, VirtualRun

if TYPE_CHECKING:
    from pipeline.records import Job, Outcome


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

    assert len(run.written) < 100
    assert run.opened == run.closed


@define
class RunWithAnOutage(VirtualRun):
    """Between two moments no connection can be made; they are counted from the start of the run."""

    begins: float = 0.0
    ends: float = 0.0
    started: float | None = None

    async def answer(self, job: Job) -> Answer | Fault:
        now = trio.current_time()
        self.started = now if self.started is None else self.started
        if self.begins <= now - self.started < self.ends:
            return Fault(FailureKind.CONNECTION, "connection refused", maybe_sent=False, cause=FaultCause.REFUSED)
        return await super().answer(job)


@pytest.mark.parametrize("seconds", [0.3, 2.0, 12.0])
@pytest.mark.parametrize("workers", [1, 4, 20])
def test_no_row_is_lost_for_a_provider_that_cannot_be_reached_for_a_while(workers: int, seconds: float) -> None:
    run = RunWithAnOutage(Plan(rows=(RowPlan(),) * 200, window=50, workers=workers, attempts=3), begins=0.05, ends=0.05 + seconds)

    run.run()

    assert [type(outcome) for outcome in run.written] == [Success] * 200


def test_a_provider_that_can_never_be_reached_fails_its_rows_in_as_many_attempts_as_ever() -> None:
    run = RunWithAnOutage(Plan(rows=(RowPlan(),) * 30, window=50, workers=4, attempts=3), begins=0.0, ends=1e9)

    run.run()

    assert [outcome.attempts for outcome in run.written] == [3] * 30

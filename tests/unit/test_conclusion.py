"""How a run ends is told by the rows of this run, and not by those that were finished before."""

from __future__ import annotations

import pytest
import trio

from pipeline.config import load_config_text
from pipeline.edges.store.journal_schema import State
from pipeline.errors import RunAborted, RunInterrupted
from pipeline.records import Failure, FailureKind
from pipeline.runs.course import Course

CONFIG = "{source: {path: in.jsonl}, provider: {simulate: {}}, sink: {path: out.jsonl}}"


def stopped_run() -> Course:
    """A run of the first 35 rows that was told to stop: 39 rows of 40 were finished before, and the one that was not is among the 35."""
    course = Course(load_config_text(CONFIG, "c.yaml"), trio.Event())
    course.go_on_from(State(succeeded=39))
    read = course.tallies.read
    read.rows, read.entered, read.ended = 35, 1, True
    course.stop.set()
    return course


async def test_rows_that_are_done_behind_a_limit_do_not_count_for_one_before_it() -> None:
    with pytest.raises(RunInterrupted):
        stopped_run().conclude()


async def test_a_run_that_has_each_of_its_rows_ends_well_although_it_was_told_to_stop() -> None:
    course = stopped_run()
    course.tallies.ledger.add([Failure(30, "row-30", FailureKind.TIMEOUT, "late")])

    assert course.conclude().total == 40


async def test_a_run_whose_results_are_not_all_written_does_not_end_well() -> None:
    course = stopped_run()
    course.tallies.ledger.add([Failure(30, "row-30", FailureKind.TIMEOUT, "late")])

    with pytest.raises(RunInterrupted):
        course.conclude(cut_off=True)
    course.stop = trio.Event()
    with pytest.raises(RunAborted, match="the results that wait in the journal were not written in time"):
        course.conclude(cut_off=True)

"""What the gate decides: refusals, quota, pauses, retries first, and the end of a run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Failure, Success
from tests.fakes.virtual_run import Plan, RowPlan, Try, VirtualRun


def every(count: int, *tries: Try) -> tuple[RowPlan, ...]:
    return (RowPlan(tries=tries),) * count


REFUSED = Try(401, after=0.05)


@given(workers=st.integers(1, 20), window=st.integers(1, 40), status=st.sampled_from([401, 402, 403]), spread=st.booleans())
@settings(max_examples=60)
def test_a_key_that_gets_only_refusals_costs_no_more_than_what_was_in_flight(
    workers: int, window: int, status: int, *, spread: bool
) -> None:
    rows = tuple(RowPlan(tries=(Try(status, after=0.05 + 0.01 * n * spread),) * 9) for n in range(60))
    run = VirtualRun(Plan(rows=rows, workers=workers, window=window)).run()

    assert run.written == []
    assert run.tallies.gate.stopped is not None
    assert len(run.sent) <= workers


def test_a_single_refused_row_with_no_other_to_judge_by_stops_the_run() -> None:
    run = VirtualRun(Plan(rows=every(1, REFUSED, REFUSED), workers=8)).run()

    assert run.written == []
    assert run.tallies.gate.stopped is not None


@pytest.mark.parametrize("place", [0, 5, 39])
@pytest.mark.parametrize("workers", [2, 4, 16])
def test_a_lone_401_is_tried_once_more(place: int, workers: int) -> None:
    rows = list(every(40))
    rows[place] = RowPlan(tries=(REFUSED,))
    run = VirtualRun(Plan(rows=tuple(rows), workers=workers, window=50)).run()

    assert [type(outcome) for outcome in run.written] == [Success] * 40
    assert run.written[place].attempts == 2


@pytest.mark.parametrize("place", [0, 5, 39])
@pytest.mark.parametrize("status, attempts", [(401, 2), (403, 1)])
def test_a_row_that_is_always_refused_fails_alone(place: int, status: int, attempts: int) -> None:
    rows = list(every(40))
    rows[place] = RowPlan(tries=(Try(status),) * 9)
    run = VirtualRun(Plan(rows=tuple(rows), workers=4, window=8)).run()

    failed = run.written[place]
    assert isinstance(failed, Failure)
    assert failed.status_code == status
    assert failed.attempts == attempts
    assert sum(isinstance(outcome, Success) for outcome in run.written) == 39


def test_a_key_that_stops_working_stops_the_run_and_its_rows_stay_untouched() -> None:
    rows = every(10) + every(30, *(REFUSED,) * 9)
    run = VirtualRun(Plan(rows=rows, workers=3, window=50)).run()

    assert len(run.written) == 10
    assert all(isinstance(outcome, Success) for outcome in run.written)
    assert run.tallies.gate.stopped is not None
    assert len(run.sent) <= 10 + 3 + 3


def test_an_exhausted_quota_stops_the_run_but_what_is_in_flight_is_kept() -> None:
    rows = list(every(50, Try(after=1.0)))
    rows[3] = RowPlan(tries=(Try(429, after=0.1, code="insufficient_quota"),))
    run = VirtualRun(Plan(rows=tuple(rows), workers=5, window=50, in_order=False)).run()

    assert sorted(outcome.index for outcome in run.written) == [0, 1, 2, 4]
    assert len(run.sent) == 5
    assert run.tallies.gate.stopped is not None


def test_nothing_leaves_while_a_retry_after_pause_holds() -> None:
    rows = list(every(40, Try(after=0.2)))
    rows[0] = RowPlan(tries=(Try(429, after=0.1, headers=((b"retry-after", b"30"),)),))
    run = VirtualRun(Plan(rows=tuple(rows), workers=4, window=50)).run()

    times = [at for at, _, _ in run.sent]
    assert not [at for at in times if 0.1 < at < 30.1]
    assert all(isinstance(outcome, Success) for outcome in run.written)


def test_a_due_retry_goes_before_new_jobs() -> None:
    rows = list(every(40, Try(after=1.0)))
    rows[0] = RowPlan(tries=(Try(500, after=0.9, headers=((b"retry-after-ms", b"50"),)),))
    run = VirtualRun(Plan(rows=tuple(rows), workers=2, window=50)).run()

    again = [at for at, row, _ in run.sent if row == 0][1]
    assert again <= 0.9 + 0.05 + 0.25 + 1.0  # due, its jitter, and the first slot that is free then


def test_a_back_off_holds_no_slot() -> None:
    rows = (RowPlan(tries=(Try(500, after=0.0, headers=((b"retry-after", b"100"),)),)), *every(10, Try(after=1.0)))
    run = VirtualRun(Plan(rows=rows, workers=1, window=50)).run()

    assert max(at for at, row, _ in run.sent if row) <= 11.0


def test_a_row_is_not_lost_to_a_limit_that_others_meet_too() -> None:
    run = VirtualRun(Plan(rows=every(200), workers=50, window=200, attempts=6, provider_limit=20)).run()

    assert all(isinstance(outcome, Success) for outcome in run.written)


def test_a_429_that_only_one_row_meets_is_held_against_it() -> None:
    rows = list(every(60))
    rows[7] = RowPlan(tries=(Try(429),) * 50)
    run = VirtualRun(Plan(rows=tuple(rows), workers=4, window=60, attempts=3)).run()

    assert run.written[7].attempts == 3


def test_a_provider_that_throttles_everybody_for_a_while_loses_no_row() -> None:
    run = VirtualRun(Plan(rows=every(20, *(Try(429),) * 50), workers=4, window=60, attempts=3)).run()

    assert [type(outcome) for outcome in run.written] == [Success] * 20

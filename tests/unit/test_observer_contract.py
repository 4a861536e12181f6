"""The port `Observer`, from both sides: what a run tells its observers, and that an observer accepts all that it may be told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

import pipeline
from pipeline.cli.narrator import Narrator
from pipeline.core.pacing.account import Account
from pipeline.core.pacing.budget import Budget, BudgetLimits
from pipeline.events import AttemptResult, LaneBack, LaneOut, PaceChanged, Paused, RunBegan, RunStopping
from pipeline.records import Failure, FaultCause, Success
from tests.fakes.observers import Book
from tests.fakes.virtual_run import Outage, Plan, RowPlan, Try, VirtualRun

if TYPE_CHECKING:
    from pipeline.ports import Observer

WELL = RowPlan()
SLOW_DOWN = Try(429, after=0.2, headers=((b"retry-after", b"5"),), message="slow down")
GONE = Outage(3.0, 12.0, Try(FaultCause.REFUSED, after=0.01))
BUSY = Plan(
    rows=(RowPlan(tries=(Try(500), Try(FaultCause.IDLE_TIMEOUT, after=2.0))), RowPlan(tries=(Try(400),)), *(WELL,) * 200),
    workers=8,
    window=50,
    requests_per_second=20.0,
    outages=(Outage(1.0, 1.1, SLOW_DOWN), GONE),
)


def observed(plan: Plan, *observers: Observer) -> VirtualRun:
    return VirtualRun(plan, observers=observers, utc=lambda: 1_700_000_000.0).run()


class ObserverLaws(pipeline.ObserverContract):
    """What every observer of ours must do besides, on virtual time."""

    def test_it_accepts_all_that_a_run_in_trouble_tells(self, observer: Observer) -> None:
        assert len(observed(BUSY, observer).written) == len(BUSY.rows)

    def test_it_accepts_a_run_that_is_stopped(self, observer: Observer) -> None:
        run = observed(Plan(rows=(WELL,) * 500, requests_per_second=10.0, stop_at=3.0), observer)

        assert 0 < len(run.written) < 500


class TestNarrator(ObserverLaws):
    """What `-v` prints."""

    @pytest.fixture
    def observer(self) -> Observer:
        said: list[str] = []
        return Narrator(said.append)


class TestBook(ObserverLaws):
    """The fake of the tests."""

    @pytest.fixture
    def observer(self) -> Observer:
        return Book()


def test_every_attempt_has_one_record_that_agrees_with_what_happened() -> None:
    book = Book()
    run = observed(BUSY, book)

    assert len(book.records) == len(run.sent) == run.tallies.gate.attempts
    assert Counter(record.index for record in book.records) == Counter(row for _, row, _ in run.sent)
    assert sorted(record.left for record in book.records) == pytest.approx([at for at, _, _ in run.sent], abs=1e-6)
    assert [record.number for record in sorted(book.records, key=lambda record: record.number)] == list(range(len(run.sent)))
    assert all(record.turn <= record.left <= record.ended for record in book.records)
    assert len({(record.index, record.turn) for record in book.records}) == len(BUSY.rows)  # all attempts of a row tell the same
    assert all(record.custom_id == f"id-{record.index}" for record in book.records)
    answered = {record.index: record for record in book.records if record.result is AttemptResult.ANSWERED}
    for outcome in run.written:
        record = answered.get(outcome.index)
        assert (record is not None) == isinstance(outcome, Success)
        if record is not None:
            assert (record.attempt, record.prompt_tokens, record.output_tokens) == (outcome.attempts, 1, 2)
            assert record.ended - record.left == pytest.approx(outcome.latency_seconds, abs=1e-6)
            assert record.status == 200
            assert record.sent == pytest.approx(record.left, abs=1e-6)
            assert record.request_bytes == 2
            assert record.response_bytes > 50
            assert record.estimated_tokens == 0
            assert not record.code


def test_a_record_says_what_was_reserved_of_a_limit_on_tokens() -> None:
    book = Book()
    observed(Plan(rows=(RowPlan(tokens=7), RowPlan(tokens=9)), tokens_per_minute=1000.0), book)

    assert sorted(record.estimated_tokens for record in book.records) == [7, 9]


def test_a_failed_attempt_is_told_with_its_cause_and_with_what_follows() -> None:
    book = Book()
    observed(Plan(rows=(RowPlan(tries=(Try(500), Try(FaultCause.IDLE_TIMEOUT, after=2.0))), *(WELL,) * 20)), book)
    first, second, third = (record for record in book.records if record.index == 0)

    assert (first.code, first.status, first.result, first.attempt) == ("http_500", 500, AttemptResult.RETRIED, 1)
    assert first.retry_in is not None
    assert second.left >= first.ended + first.retry_in - 1e-6
    assert (second.code, second.status, second.maybe_sent) == ("timeout", None, True)
    assert "idle_timeout by the plan" in second.message
    assert third.result is AttemptResult.ANSWERED
    assert first.turn == second.turn == third.turn


def test_a_row_that_fails_for_its_own_fault_ends_as_failed_or_undecided() -> None:
    book = Book()
    run = observed(Plan(rows=(*(WELL,) * 10, RowPlan(tries=(Try(500),) * 3), RowPlan(tries=(Try(400),)), *(WELL,) * 10)), book)
    ends = {record.index: record for record in book.records}

    assert [outcome.index for outcome in run.written if isinstance(outcome, Failure)] == [10, 11]
    assert ends[10].result is AttemptResult.FAILED
    assert ends[10].retry_in is None
    assert ends[11].result is AttemptResult.UNDECIDED  # a 400 is held until another row is answered


def test_what_held_an_attempt_back_is_told() -> None:
    limited, crowded = Book(), Book()
    observed(Plan(rows=(WELL,) * 50, requests_per_second=5.0, window=50, workers=50), limited)
    observed(Plan(rows=(RowPlan(tries=(Try(after=1.0),)),) * 20, workers=2, window=20), crowded)

    assert {record.held_by for record in limited.records[2:]} == {"requests_per_second"}
    assert {record.held_by for record in crowded.records[2:]} == {"in_flight"}
    last = max(limited.records, key=lambda record: record.left)
    assert last.turn == pytest.approx(last.left - 0.2, abs=0.02)  # it was the next one from when its predecessor left


def test_events_tell_of_pauses_paces_lanes_and_of_the_end() -> None:
    book = Book()
    run = observed(BUSY, book)

    assert book.told[0] == RunBegan(run.started, 1_700_000_000.0)
    assert [event.at for event in book.told] == sorted(event.at for event in book.told)
    (paused, *_) = [event for event in book.told if isinstance(event, Paused)]
    assert (paused.seconds, "slow down" in paused.message) == (5.0, True)
    (pace, *_) = [event for event in book.told if isinstance(event, PaceChanged)]
    assert (pace.per_second, pace.why) == (20.0, "the configured limit")
    out = next(event for event in book.told if isinstance(event, LaneOut))
    back = next(event for event in book.told if isinstance(event, LaneBack))
    assert "refused by the plan" in out.reason
    assert back.out_seconds == pytest.approx(back.at - out.at)

    stopped = Book()
    observed(Plan(rows=(WELL,) * 500, requests_per_second=10.0, stop_at=3.0), stopped)
    assert isinstance(stopped.told[-1], RunStopping)
    assert stopped.told[-1].reason == "interrupted"


def test_several_observers_are_told_the_same_and_nothing_is_told_twice() -> None:
    one, other = Book(), Book()
    observed(BUSY, one, other)

    assert one.records == other.records
    assert one.told == other.told
    assert one.groups == other.groups
    assert min(one.groups) >= 1


def test_a_run_goes_the_same_way_whether_it_is_observed_or_not() -> None:
    alone, watched = observed(BUSY), observed(BUSY, Book())

    assert [(row, at) for at, row, _ in alone.sent] == [(row, at) for at, row, _ in watched.sent]


def test_a_budget_that_is_used_up_is_told_as_the_reason_to_stop() -> None:
    book = Book()
    account = Account(Budget(BudgetLimits(requests=5), started=0.0), Budget(BudgetLimits(), started=0.0))
    VirtualRun(Plan(rows=(WELL,) * 50), observers=(book,), account=account).run()

    assert isinstance(book.told[-1], RunStopping)
    assert "budget.requests" in book.told[-1].reason

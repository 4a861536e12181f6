"""Law 10 on virtual time: what other rows meet too is no row's fault, whatever it is, whenever it begins and however long it lasts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import Failure, FaultCause, Success
from tests.fakes.virtual_run import Outage, Plan, RowPlan, Try, VirtualRun

KEY = "API key not valid. Please pass a valid API key."
MODEL = "The model `m` does not exist"

# What passes by waiting, as a provider tells it.
PASSING = [
    Try(FaultCause.REFUSED, after=0.0),
    Try(FaultCause.UNREACHABLE, after=0.0),
    Try(FaultCause.CONNECT_TIMEOUT, after=3.0),
    Try(FaultCause.TLS_OTHER, after=0.01),
    Try(FaultCause.PROXY, after=0.01),
    Try(FaultCause.CLOSED, after=0.02),
    Try(FaultCause.IDLE_TIMEOUT, after=6.0),
    Try(429, after=0.05),
    Try(429, after=0.05, headers=((b"retry-after", b"2"),)),
    Try(400, after=0.05, code="ThrottlingException"),
    Try(500, after=0.2),
    Try(502, after=0.02),
    Try(503, after=0.02, message="Loading model"),
    Try(503, after=0.02, headers=((b"retry-after", b"3"),)),
    Try(504, after=4.0),
    Try(520, after=0.5),
    Try(529, after=0.1, code="overloaded_error"),
    Try(408, after=1.0),
]
# What does not.
LASTING = [
    Try(FaultCause.TLS, after=0.01),
    Try(401, after=0.05),
    Try(403, after=0.05),
    Try(402, after=0.05),
    Try(400, after=0.05, code="API_KEY_INVALID", message=KEY),
    Try(429, after=0.05, code="insufficient_quota"),
    Try(404, after=0.05, code="model_not_found", message=MODEL),
    Try(404, after=0.05, code="", message="Not Found"),
    Try(307, after=0.02, headers=((b"location", b"https://elsewhere.example/v1"),)),
    Try(400, after=0.05, code="unknown_parameter", message="Unknown name 'seed'"),
    Try(429, after=0.05, headers=((b"x-should-retry", b"false"),)),
    Try(500, after=0.05, headers=((b"x-should-retry", b"false"),)),
]

latencies = st.sampled_from([0.01, 0.3, 2.0])
workers = st.sampled_from([1, 2, 5, 16])
attempts = st.sampled_from([1, 3, 6])


def name_of(turn: Try) -> str:
    kind = turn.kind.value if isinstance(turn.kind, FaultCause) else turn.kind
    return "-".join([str(kind), turn.code, *(name.decode() for name, _ in turn.headers)])


def rows_of(count: int, latency: float) -> tuple[RowPlan, ...]:
    """Rows that succeed, after times that spread around a latency."""
    return tuple(RowPlan(tries=(Try(after=latency * (0.5 + 0.1 * (n * 7 % 11))),) * 30) for n in range(count))


def failures(run: VirtualRun) -> list[Failure]:
    return [outcome for outcome in run.written if isinstance(outcome, Failure)]


@pytest.mark.parametrize("turn", PASSING, ids=name_of)
@given(latency=latencies, workers=workers, attempts=attempts, begins=st.sampled_from([0.0, 1.0, 7.0]), lasts=st.sampled_from([3.0, 40.0]))
@settings(max_examples=12, deadline=None)
def test_what_passes_by_waiting_costs_no_row(turn: Try, latency: float, workers: int, attempts: int, begins: float, lasts: float) -> None:
    attempts = attempts if workers * lasts > 30 * turn.after else 3  # a lane that only one row was sent to cannot be told from that row
    outages = (Outage(begins, begins + lasts, turn),)
    run = VirtualRun(Plan(rows=rows_of(100, latency), workers=workers, window=64, attempts=attempts, outages=outages)).run()

    assert [type(outcome) for outcome in run.written] == [Success] * 100


@pytest.mark.parametrize("turn", PASSING + LASTING, ids=name_of)
@given(latency=latencies, workers=workers, attempts=attempts, done=st.sampled_from([0.0, 0.4]))
@settings(max_examples=12, deadline=None)
def test_what_never_passes_stops_the_run_and_is_no_rows_result(turn: Try, latency: float, workers: int, attempts: int, done: float) -> None:
    begins = done * 200 * latency / workers
    outages = (Outage(begins, 1e9, turn),)
    plan = Plan(rows=rows_of(200, latency), workers=workers, window=64, attempts=attempts, outages=outages, patience_seconds=20)
    run = VirtualRun(plan).run()

    assert failures(run) == []
    assert run.tallies.gate.stopped is not None
    assert run.ended - run.started <= begins + 20 + 30


# With few rows nothing tells these from a mistake of the row's own, and the row fails for it.
OWN = LASTING[-3:]


@pytest.mark.parametrize("turn", [turn for turn in PASSING + LASTING if turn not in OWN], ids=name_of)
@pytest.mark.parametrize("rows, workers", [(1, 1), (1, 10), (3, 1), (3, 10), (1000, 1), (1000, 10)])
def test_a_provider_that_never_works_costs_no_row_of_the_smallest_file(turn: Try, rows: int, workers: int) -> None:
    plan = Plan(rows=rows_of(rows, 0.3), workers=workers, window=64, attempts=6, outages=(Outage(0.0, 1e9, turn),), patience_seconds=100)
    run = VirtualRun(plan).run()

    assert run.written == []
    assert run.tallies.gate.stopped is not None
    assert run.ended - run.started <= 20 + 30


@pytest.mark.parametrize("turn", OWN, ids=name_of)
@pytest.mark.parametrize("rows", [1, 3])
def test_the_same_mistake_in_each_of_a_few_rows_is_theirs(turn: Try, rows: int) -> None:
    run = VirtualRun(Plan(rows=rows_of(rows, 0.3), outages=(Outage(0.0, 1e9, turn),), patience_seconds=100)).run()

    assert len(failures(run)) == rows
    assert run.tallies.gate.stopped is None


@pytest.mark.parametrize("done", [0.0, 0.4])
def test_limit_of_a_day_that_is_used_up_stops_the_run_at_once_and_says_when_to_go_on(done: float) -> None:
    begins = done * 200 * 0.3 / 5
    used_up = Try(429, after=0.05, message="Rate limit reached for requests per day (RPD)", headers=((b"retry-after", b"39600"),))
    run = VirtualRun(Plan(rows=rows_of(200, 0.3), workers=5, window=64, outages=(Outage(begins, 1e9, used_up),))).run()

    assert failures(run) == []
    assert "it asks to wait 11 h" in (run.tallies.gate.stopped or "")
    assert run.ended - run.started <= begins + 2.0


@pytest.mark.parametrize("turn", LASTING, ids=name_of)
@given(latency=latencies, workers=workers, done=st.sampled_from([0.0, 0.4]))
@settings(max_examples=12, deadline=None)
def test_a_provider_that_refuses_everything_gets_few_requests(turn: Try, latency: float, workers: int, done: float) -> None:
    begins = done * 200 * latency / workers
    run = VirtualRun(Plan(rows=rows_of(200, latency), workers=workers, window=64, outages=(Outage(begins, 1e9, turn),))).run()

    refused = [at for at, _, _ in run.sent if at - run.started >= begins]
    assert len(refused) <= (max(workers, 20) if done == 0.0 else workers + 20)


@given(latency=latencies, workers=workers, share=st.sampled_from([5, 8]), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_rows_that_always_get_a_500_hold_no_lane(latency: float, workers: int, share: int, seed: int) -> None:
    poison = [(n * 7919 + seed * 104729) % 1009 % share == 0 for n in range(300)]
    bad, good = RowPlan(tries=(Try(500, after=latency),) * 99), RowPlan(tries=(Try(after=latency),))
    run = VirtualRun(Plan(rows=tuple(bad if each else good for each in poison), workers=workers, window=400, attempts=6)).run()

    assert [isinstance(outcome, Failure) for outcome in run.written] == poison
    assert {outcome.attempts for outcome in failures(run)} == {6}
    assert "lane_out" not in run.tallies.gate.bound_seconds

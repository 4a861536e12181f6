"""Histories of workers that ran at the same time become the history of their run: nothing is lost, and clocks fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx  # noqa: PT013  as a name of its own it reads well

from pipeline.core.bookkeeping.history import MOST, SLOWEST, History, LaneBucket
from pipeline.core.bookkeeping.together import GAP_SECONDS, together
from pipeline.edges.telemetry.kept import KeptHistory
from pipeline.events import AttemptRecord, AttemptResult, RunBegan
from pipeline.inspect.report.timeline import timeline_of
from tests.fakes.observers import tell

BEGAN = 1_700_000_000.0


def worker(attempts: list[tuple[float, float]], start: float = 0.0) -> History:
    """The history of a process that began so many seconds after the run."""
    observer = KeptHistory()
    observer.events([RunBegan(0.0, BEGAN + start)])
    tell(
        observer,
        [
            AttemptRecord(number, f"row-{number}", 1, "", number, "learned", left, left, left, None, left + took, AttemptResult.ANSWERED)
            for number, (left, took) in enumerate(sorted(attempts))
        ],
    )
    return observer.history


attempts = st.lists(st.tuples(st.floats(0, 900), st.floats(0.001, 300)), min_size=1, max_size=30)


@given(st.lists(st.tuples(attempts, st.floats(0, 3)), min_size=1, max_size=4))
def test_nothing_is_lost(workers: list[tuple[list[tuple[float, float]], float]]) -> None:
    histories = [(worker(made, start), 1000 * number) for number, (made, start) in enumerate(workers)]

    runs = together(histories)

    lanes = [bucket.lanes.get("") or LaneBucket() for run in runs for bucket in run.buckets]
    every = [took for made, _ in workers for _, took in made]
    assert all(len(run.buckets) <= MOST for run in runs)
    assert sum(lane.sent for lane in lanes) == sum(lane.ended for lane in lanes) == len(every)
    assert sum(sum(run.width * level for level in timeline_of([run]).flight.get("", [])) for run in runs) == approx(sum(every), abs=1e-6)
    assert max(len(run.slow) for run in runs) <= SLOWEST
    rows = {number * 1000 + row for number, (made, _) in enumerate(workers) for row in range(len(made))}
    assert {row.index for run in runs for row in run.slow} <= rows


def test_workers_at_the_same_time_are_one_run_and_later_ones_another() -> None:
    first, beside = worker([(0.0, 9.0)]), worker([(0.0, 9.0)], start=4.0)
    next_shard = worker([(0.0, 2.0)], start=13.0 + GAP_SECONDS - 1)
    later = worker([(0.0, 2.0)], start=500.0)

    runs = together([(later, 30), (first, 0), (next_shard, 20), (beside, 10)])

    assert [run.utc - BEGAN for run in runs] == [0.0, 500.0]
    assert timeline_of([runs[0]]).flight[""][:9] == approx([1.0] * 4 + [2.0] * 5)
    assert runs[0].ended == approx(19.0)
    assert sorted(row.index for row in runs[0].slow) == [0, 10, 20]


def test_paces_of_workers_add_up() -> None:
    first, beside = worker([(0.0, 1.0)]), worker([(0.0, 1.0)])
    first.buckets[0].lane("").pace, beside.buckets[0].lane("").pace = 3.0, 4.0

    (run,) = together([(first, 0), (beside, 10)])

    assert run.buckets[0].lane("").pace == 7.0

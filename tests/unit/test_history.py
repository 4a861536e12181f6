"""What a run keeps for its report: counts that add up whatever is folded, and figures that follow from attempts told at their end."""

from __future__ import annotations

import random
import zlib
from statistics import quantiles

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.bookkeeping.history import MOST, Bucket, History, LaneBucket, count, quantile
from pipeline.edges.telemetry.kept import KeptHistory, read_history
from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, PaceChanged, RunBegan
from pipeline.inspect.report.timeline import TAIL, timeline_of
from tests.fakes.observers import tell
from tests.unit.test_observer_contract import ObserverLaws


def record(
    number: int, left: float, ended: float, *, why: str = "", result: AttemptResult = AttemptResult.ANSWERED, **more: object
) -> AttemptRecord:
    return AttemptRecord(number, f"row-{number}", 1, "", number, why, left, left, left, None, ended, result, **more)  # type: ignore[arg-type]


def kept(records: list[AttemptRecord], began: float = 0.0) -> History:
    observer = KeptHistory()
    observer.events([RunBegan(began, 1_700_000_000.0)])
    tell(observer, records)
    return observer.history


class TestKeptHistory(ObserverLaws):
    @pytest.fixture
    def observer(self) -> KeptHistory:
        return KeptHistory()


@given(st.lists(st.tuples(st.floats(0, 5_000), st.floats(0.001, 2_000)), min_size=1, max_size=60))
def test_counts_add_up_whatever_is_folded(attempts: list[tuple[float, float]]) -> None:
    attempts.sort()
    records = [record(number, left, left + took, why="learned", prompt_tokens=3) for number, (left, took) in enumerate(attempts)]

    history = kept(records)

    lanes = [bucket.lanes.get("") or LaneBucket() for bucket in history.buckets]
    assert len(history.buckets) <= MOST
    assert sum(lane.sent for lane in lanes) == sum(lane.answered for lane in lanes) == len(records)
    assert sum(bucket.prompt_tokens for bucket in history.buckets) == 3 * len(records)
    assert sum(sum(bucket.attempt.values()) for bucket in history.buckets) == len(records)
    assert sum(lane.held.get("learned", 0.0) for lane in lanes) == pytest.approx(attempts[-1][0])
    spent = sum(took for _, took in attempts)
    assert sum(timeline_of([history]).flight[""]) * history.width == pytest.approx(spent, rel=1e-6, abs=1e-6)


def test_each_departure_tells_what_was_waited_for_since_the_one_before() -> None:
    slow, fast = record(0, 1.0, 9.0, why="in_flight"), record(1, 3.0, 4.0, why="requests_per_minute")

    whole = timeline_of([kept([fast, slow])])

    assert whole.held[2]["requests"] == pytest.approx(1.0)
    assert sum(held["requests"] for held in whole.held) == pytest.approx(2.0)
    assert sum(held["in_flight"] for held in whole.held) == pytest.approx(1.0)


def test_an_attempt_that_is_cut_off_was_in_flight_to_the_end() -> None:
    observer = KeptHistory()
    observer.events([RunBegan(0.0, 1_700_000_000.0)])
    observer.left("", 2, 1.0, "learned", 0)
    tell(observer, [record(2, 3.0, 4.0, why="learned")])

    flight = timeline_of([observer.history]).flight[""]

    assert flight[2:] == pytest.approx([2.0, 3.0, 2.0])


def test_after_the_last_departure_it_is_the_last_rows() -> None:
    history = kept([record(0, 1.0, 11.0, why="learned")])

    assert sum(held[TAIL] for held in timeline_of([history]).held) == pytest.approx(10.0)


def test_percentiles_are_right_to_half_a_cell() -> None:
    draw = random.Random(3)
    values = [draw.lognormvariate(0, 1) for _ in range(20_000)]
    bins: dict[int, int] = {}
    for value in values:
        count(bins, value)

    exact = quantiles(values, n=100, method="inclusive")

    for percent in (50, 90, 95, 99):
        assert quantile(bins, percent / 100) == pytest.approx(exact[percent - 1], rel=0.025)


def test_a_duration_of_nothing_is_counted() -> None:
    bins: dict[int, int] = {}

    count(bins, 0.0)
    count(bins, -1.0)

    assert sum(bins.values()) == 2
    assert quantile({}, 0.5) is None
    far = {0: 1, 500: 3}
    assert quantile(far, 0.0) == quantile({0: 1}, 0.5)
    assert quantile(far, 0.4) == quantile(far, 1.0) == quantile({500: 1}, 0.0)


def test_only_the_slowest_rows_are_kept() -> None:
    history = kept([record(number, float(number), number + 0.5 + number % 7) for number in range(1_000)])

    assert len(history.slow) == 200
    assert min(row.seconds for row in history.slow) >= 4.5


def test_lanes_that_are_out_are_marked_and_paces_are_kept() -> None:
    observer = KeptHistory()
    observer.events([RunBegan(100.0, 5.0), PaceChanged(101.0, 12.0, "found", "us"), LaneOut(103.0, "refused", 2.0, "us")])
    tell(observer, [record(0, 101.0, 120.0)])
    observer.events([LaneBack(110.0, 7.0, "us")])

    whole = timeline_of([observer.history])

    assert whole.marks == [(3.0, 10.0, "lane us out of reach")]
    assert whole.pace["us"][1] == whole.pace["us"][5] == 12.0


def test_a_history_is_stored_now_and_then_and_read_back_as_it_was() -> None:
    observer = KeptHistory()
    observer.events([RunBegan(0.0, 5.0)])
    nothing_yet = observer.stored()
    tell(observer, [record(0, 1.0, 2.0, code="http_400", result=AttemptResult.FAILED)])

    first, soon_after, last = observer.stored(), observer.stored(last=True), observer.stored(last=True)

    assert (nothing_yet, soon_after, last) == (None, None, None)
    assert first is not None
    assert first[0] == 5_000
    assert read_history(first[1]) == observer.history


def changed(**fields: object) -> bytes:
    bucket = Bucket(attempt={3: 1})
    for name in ("attempt", "row", "first_token"):
        if name in fields:
            setattr(bucket, name, fields.pop(name))
    history = History(buckets=[bucket])
    for name, value in fields.items():
        setattr(history, name, value)
    return zlib.compress(msgspec.msgpack.encode(history))


CHANGED = [
    changed(attempt={10**15: 1, 1: 1}),
    changed(row={-(10**15): 1}),
    changed(first_token={2**62: 1}),
    changed(width=0.0),
    changed(width=float("inf")),
    changed(width=float("nan")),
    changed(ended=float("inf")),
    changed(last_left={"": float("nan")}),
    changed(buckets=[Bucket()] * 601),
    *map(
        zlib.compress,
        [b"\xdd\xff\xff\xff\xff", b"\x81\xa7buckets\xdd\xff\xff\xff\xff", b"\x81\xa7buckets" + b"\x91" * 100_000, bytes(65 << 20)],
    ),
]


@pytest.mark.parametrize("data", [b"", b"nonsense", b"x\x9c\x03\x00\x00\x00\x00\x01", *CHANGED])
def test_what_is_no_history_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a history"):
        read_history(data)


def test_a_history_that_nobody_has_changed_is_one() -> None:
    assert read_history(changed()).buckets[0].attempt == {3: 1}


def test_sessions_follow_each_other_with_buckets_of_one_width() -> None:
    short, long = kept([record(0, 0.5, 1.0)]), kept([record(0, 0.5, 1.0), record(1, 700.0, 900.0)])

    whole = timeline_of([short, long])

    assert whole.width == 2.0
    assert sum(whole.total(lambda lane: lane.sent)) == 3
    assert whole.marks == [(2.0, 2.0, "went on later")]
    assert whole.seconds == pytest.approx(901.0)


def test_a_rate_is_a_mean_over_its_window_and_a_sum_never_exceeds_what_there_was() -> None:
    whole = timeline_of([kept([record(number, number / 10, number / 10 + 0.01) for number in range(100)])])

    assert whole.rate(whole.total(lambda lane: lane.sent), 5.0)[-1] == pytest.approx(10.0, rel=0.03)
    assert max(whole.sums(whole.total(lambda lane: lane.sent), 60.0)) == 100


def test_what_attempts_without_a_result_used_and_cost_adds_up() -> None:
    lost = [
        record(number, 1.0, 2.0, result=AttemptResult.FAILED, prompt_tokens=3, output_tokens=2, cost=0.5, code="x") for number in range(3)
    ]

    [bucket] = [bucket for bucket in kept([*lost, record(9, 1.0, 2.0, result=AttemptResult.RETRIED)]).buckets if bucket.failed]

    assert (bucket.prompt_tokens, bucket.output_tokens, bucket.cost, bucket.failed) == (9, 6, 1.5, 3)
    assert bucket.lane("").codes == {"x": 3}

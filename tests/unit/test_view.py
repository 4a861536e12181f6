"""What people see of a run: totals that are known or estimated, rates of late, an end that is never promised falsely."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.cli.view import View, Watcher, expected_rows
from tests.fakes.views import BUSY, FACTS, PLAIN_FACTS, START, at


def watched(*records: object) -> View:
    watcher = Watcher(FACTS)
    views = [watcher.look(record) for record in records]  # type: ignore[arg-type]
    return views[-1]


@pytest.mark.parametrize(
    "read, expected, total, told",
    [
        (5000, 10_000, None, (10_000, False)),
        (5000, 10_003, None, (10_000, False)),  # rounded, so that it does not change at every look
        (9999, 9_994, None, (9_999, False)),  # never fewer than were read
        (50, 1_000_000, None, (None, False)),  # too few to tell
        (50, 50, None, (50, False)),  # all of a small file
        (5000, None, None, (None, False)),  # a stream
        (5000, 10_000, 7777, (7777, True)),  # its end was read
    ],
)
def test_total_is_an_estimate_until_the_end_is_read(
    read: int, expected: int | None, total: int | None, told: tuple[int | None, bool]
) -> None:
    assert expected_rows(replace(START, rows_read=read, rows_expected=expected, rows_total=total)) == told


def test_rate_is_that_of_the_last_seconds() -> None:
    fast = [at(second, second * 10) for second in range(100)]
    stopped = [at(second, 990) for second in range(100, 120)]

    assert watched(*fast).rate == pytest.approx(10)
    assert watched(*fast, *stopped).rate == 0.0
    assert watched(at(0.5, 20)).rate == pytest.approx(40)


def test_rate_after_a_gap_is_that_over_the_gap() -> None:
    """A terminal that nobody read for a minute misses the records in between."""
    assert watched(at(1, 10), at(100, 1000)).rate == pytest.approx(10)


def test_what_earlier_runs_did_makes_no_rate_and_no_cost_of_this_one() -> None:
    resumed = replace(at(2, 10_020), rows_resumed=10_000, rows_expected=20_000, cost=5.0)

    view = watched(resumed)

    assert view.rate == pytest.approx(10)
    assert view.fraction == pytest.approx(0.5, abs=0.01)
    assert view.forecast is None  # 20 rows tell nothing of the others


def test_time_left_is_what_the_rate_makes_of_the_rows_left() -> None:
    view = watched(*(replace(at(second, second * 10), rows_total=1000) for second in range(1, 51)))

    assert view.left_seconds == pytest.approx(50)
    assert view.rows_left == 500
    assert not view.ending


def test_no_time_is_told_where_only_retries_are_left() -> None:
    last = replace(at(100, 998, total=1000), in_flight=1, waiting=1, bound="retry")

    view = watched(at(99, 990, total=1000), last)

    assert (view.left_seconds, view.ending, view.rows_left) == (None, True, 2)
    assert (view.held, view.why) == ("the last 2 rows", "1 under way, 1 in back-off")


@pytest.mark.parametrize(
    "bound, held, why",
    [
        ("requests_per_minute", "requests_per_minute", "running at your limit"),
        ("tokens_per_minute", "tokens_per_minute", "your limit of 2.00 M a minute is used up"),
        ("learned", "the provider's limit", "running at what it is found to allow"),
        ("pause", "the provider", "it asked to wait"),
        ("lane_out", "the provider", "it is out of reach or refuses; it is tried now and then"),
        ("in_flight", "max_in_flight", "more would leave if more could be under way"),
        ("input", "nothing", "as fast as answers come"),
        ("", "nothing", "as fast as answers come"),
        ("retry", "back-off", "7 rows wait to be tried again"),
        ("something_new", "something_new", ""),
    ],
)
def test_what_holds_a_run_back_is_told_in_words(bound: str, held: str, why: str) -> None:
    view = watched(replace(BUSY, bound=bound))

    assert (view.held, view.why) == (held, why)


def test_cost_in_all_follows_from_the_rows_done() -> None:
    view = watched(replace(at(10, 1000, total=2000), cost=3.0))

    assert view.forecast == pytest.approx(6.0)
    assert Watcher(PLAIN_FACTS).look(START).forecast is None


def test_failures_are_sorted_by_how_many_they_are() -> None:
    assert [code for code, _ in watched(BUSY).failures] == ["http_400", "invalid_row", "too_large"]

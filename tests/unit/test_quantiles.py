"""Quantiles of many numbers are right to a percent, whatever their size."""

from __future__ import annotations

from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.core.bookkeeping.quantiles import Quantiles
from pipeline.records import Success, Usage


@given(values=st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=200))
def test_a_quantile_is_right_to_a_percent_or_two(values: list[float]) -> None:
    counted = Quantiles()
    counted.add(values)

    ordered = sorted(values)
    for percent in (50, 95, 99):
        exact = ordered[max(0, -(-percent * len(values) // 100) - 1)]
        assert counted.shown()[f"p{percent}"] == pytest.approx(exact, rel=0.0115)


@pytest.mark.parametrize("value", [0.98, 0.99, 1.0, 1.01, 1.02])
def test_a_number_close_to_one_is_shown_as_right_as_any_other(value: float) -> None:
    counted = Quantiles()
    counted.add([value])

    assert counted.shown()["p50"] == pytest.approx(value, rel=0.0115)


def test_zero_and_less_count_as_next_to_nothing() -> None:
    counted = Quantiles()
    counted.add([0.0, -1.0, 1e-9])
    counted.add([5.0])

    assert counted.shown()["p50"] == pytest.approx(1e-6, rel=0.02)
    assert counted.shown()["p99"] == pytest.approx(5.0, rel=0.0115)


def test_nothing_counted_shows_nothing() -> None:
    assert Quantiles().shown() == {}


def test_many_numbers_give_what_statistics_gives() -> None:
    counted = Quantiles()
    values = [1.001**number for number in range(5000)]
    counted.add(values)

    expected = quantiles(values, n=100)
    assert counted.shown() == pytest.approx({"p50": expected[49], "p95": expected[94], "p99": expected[98]}, rel=0.02)


def test_times_of_streams_are_counted_apart_and_cached_answers_not_at_all() -> None:
    ledger = Ledger()

    ledger.add(
        [
            Success(0, "a", 200, None, b"{}", Usage(1, 1, 2), 1, 2.0),
            Success(1, "b", 200, None, b"{}", Usage(1, 101, 102), 1, 12.0, first_token_seconds=2.0, longest_gap_seconds=0.5),
            Success(2, "c", 200, None, b"{}", Usage(1, 1, 2), 0, 0.0),
        ]
    )

    assert ledger.latency.shown()["p99"] == pytest.approx(12, rel=0.02)
    assert ledger.latency.shown()["p50"] == pytest.approx(2, rel=0.02)
    assert ledger.first_token.shown()["p50"] == pytest.approx(2, rel=0.02)
    assert ledger.longest_gap.shown()["p50"] == pytest.approx(0.5, rel=0.02)
    assert ledger.pace.shown()["p50"] == pytest.approx(10, rel=0.02)

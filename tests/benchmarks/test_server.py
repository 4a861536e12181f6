"""What the benchmarks' server says of the pace at which requests came."""

from __future__ import annotations

import pytest

from benchmarks.server import Counts


def seen(rows: int, in_flight: int, latency: float) -> float:
    """The steady rate of a client that keeps so many in flight and loses no time: they come in waves."""
    counts = Counts()
    counts.arrivals.extend(row // in_flight * latency + row % in_flight * 1e-6 for row in range(rows))
    return counts.summary(in_flight)["steady_per_second"]


@pytest.mark.parametrize("rows", [310, 350, 399, 1_000, 1_050])
def test_the_steady_rate_of_a_perfect_client_is_the_ideal_however_many_rows_the_last_wave_has(rows: int) -> None:
    assert seen(rows, 100, 2.0) == pytest.approx(100 / 2.0)


@pytest.mark.parametrize("rows", [0, 1, 200, 300])
def test_too_few_rows_have_no_steady_rate(rows: int) -> None:
    assert seen(rows, 100, 2.0) == 0.0

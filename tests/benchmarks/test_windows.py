from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.server import most_in_a_second
from benchmarks.windows import WINDOWS, FixedWindow, SlidingWindow, TokenBucket, Window

gaps = st.lists(st.floats(0, 0.5), max_size=80)


def passed(window: Window, waits: list[float]) -> list[float]:
    now, times = 0.0, []
    for wait in waits:
        now += wait
        if window.admit(now) == 0.0:
            times.append(now)
    return times


@given(gaps, st.integers(1, 10))
def test_sliding_window_admits_no_more_than_limit_in_any_second(waits: list[float], limit: int) -> None:
    assert most_in_a_second(array("d", passed(SlidingWindow(limit, 1.0), waits))) <= limit


@given(gaps, st.integers(1, 10))
def test_fixed_window_admits_no_more_than_limit_in_a_second_of_the_clock(waits: list[float], limit: int) -> None:
    seconds = [int(time) for time in passed(FixedWindow(limit, 1.0), waits)]

    assert max(map(seconds.count, seconds), default=0) <= limit


@given(gaps, st.integers(1, 100))
def test_bucket_admits_no_more_than_depth_and_refill(waits: list[float], limit: int) -> None:
    times = passed(TokenBucket(limit, 1.0), waits)

    assert len(times) <= max(1.0, limit / 10) + limit * (times[-1] if times else 0.0) + 1e-6


@pytest.mark.parametrize("name", WINDOWS)
def test_refusal_says_when_a_request_may_pass(name: str) -> None:
    window: Window = WINDOWS[name](1, 1.0)
    window.admit(0.25)

    wait = window.admit(0.5)

    assert wait > 0
    assert window.admit(0.5 + wait + 1e-9) == 0.0

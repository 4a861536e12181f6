"""A set of whole numbers, kept as runs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.bookkeeping.intervals import Intervals

numbers = st.lists(st.integers(0, 60), unique=True)


def runs_of(members: set[int]) -> list[tuple[int, int]]:
    """The disjoint runs of a set, told the slow way."""
    runs: list[tuple[int, int]] = []
    for number in sorted(members):
        if runs and runs[-1][1] == number:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


@given(numbers)
def test_intervals_hold_what_was_added_in_as_few_runs_as_there_can_be(members: list[int]) -> None:
    intervals = Intervals()
    for number in members:
        intervals.add(number, number + 1)

    assert list(intervals) == runs_of(set(members))
    assert len(intervals) == len(members)
    assert all((number in intervals) is (number in set(members)) for number in range(-1, 63))


@given(numbers, st.integers(-1, 61), st.integers(1, 70))
def test_take_removes_one_run_from_its_start_and_nothing_else(members: list[int], first: int, most: int) -> None:
    intervals = Intervals(runs_of(set(members)))
    left = set(members)

    taken = intervals.take(first, most)

    starts = {run[0]: run[1] for run in runs_of(left)}
    expected = min(most, starts[first] - first) if first in starts else 0
    assert taken == expected
    assert list(intervals) == runs_of(left - set(range(first, first + taken)))
    assert len(intervals) == len(left) - taken


def test_run_of_a_number_is_the_one_that_it_is_in() -> None:
    intervals = Intervals([(0, 3), (5, 6), (8, 12)])

    assert [intervals.run_of(number) for number in (0, 2, 5, 8, 11)] == [(0, 3), (0, 3), (5, 6), (8, 12), (8, 12)]

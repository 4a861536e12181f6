"""Law 2: what comes out is a prefix of the input's order, whatever the order of what goes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.bookkeeping.reorder import ReorderWindow
from pipeline.records import Failure, FailureKind


def outcome(index: int) -> Failure:
    return Failure(index, f"row-{index}", FailureKind.HTTP, "")


@st.composite
def groups(draw: st.DrawFn) -> list[list[int]]:
    order = draw(st.permutations(range(draw(st.integers(0, 40)))))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=10)))
    return [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@given(groups())
def test_outcomes_leave_in_order_each_as_soon_as_it_can(parts: list[list[int]]) -> None:
    window: ReorderWindow[Failure] = ReorderWindow()
    seen: set[int] = set()
    out: list[int] = []

    for part in parts:
        seen.update(part)
        out.extend(o.index for o in window.push([*map(outcome, part)]))

        head = next(n for n in range(len(seen) + 1) if n not in seen)
        assert out == list(range(head))
        assert window.next_index == head
        assert len(window) == len(seen) - head


@given(groups(), st.data())
def test_a_second_outcome_of_a_row_is_refused(parts: list[list[int]], data: st.DataObject) -> None:
    window: ReorderWindow[Failure] = ReorderWindow()
    for part in parts:
        window.push([*map(outcome, part)])
    everything = [index for part in parts for index in part]
    if everything:
        again = data.draw(st.sampled_from(everything))

        with pytest.raises(ValueError, match=f"row {again} has two outcomes"):
            window.push([outcome(again)])


def test_a_window_may_begin_in_the_middle() -> None:
    window: ReorderWindow[Failure] = ReorderWindow(first=5)

    assert [o.index for o in window.push([outcome(6), outcome(5)])] == [5, 6]


@given(groups(), st.lists(st.booleans(), max_size=50), st.integers(1, 7))
def test_rows_that_were_left_elsewhere_are_asked_back_in_their_turn(parts: list[list[int]], spills: list[bool], most: int) -> None:
    window: ReorderWindow[Failure] = ReorderWindow()
    out: list[int] = []
    for part, spill in zip(parts, [*spills, *[False] * len(parts)], strict=False):
        out.extend(o.index for o in window.push([*map(outcome, part)]))
        while True:
            first, count = window.take_held(most)
            if not count:
                break
            out.extend(range(first, first + count))
            out.extend(o.index for o in window.push(()))
        if spill:
            waiting = len(window)
            assert window.spill() == waiting
            assert len(window) == 0

    assert out == list(range(sum(map(len, parts))))


def test_row_that_waits_in_memory_has_no_second_outcome() -> None:
    window: ReorderWindow[Failure] = ReorderWindow()
    window.push([outcome(3)])

    with pytest.raises(ValueError, match="row 3 has two outcomes"):
        window.push([outcome(3)])


def test_row_that_waits_in_a_journal_has_no_second_outcome() -> None:
    window: ReorderWindow[Failure] = ReorderWindow()
    window.push([outcome(3)])
    window.spill()

    with pytest.raises(ValueError, match="row 3 has two outcomes"):
        window.push([outcome(3)])

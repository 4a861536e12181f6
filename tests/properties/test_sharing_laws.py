"""How batches share one gate: nobody starves, the small overtake the big, and the gate never lacks a row for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.batches.sharing import LEAST_AHEAD, Ahead, Shares

BIG, SMALL = OLD, NEW = 1, 2


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 4))
def test_no_batch_is_ahead_of_another_that_has_rows_by_more_than_one_turn(sizes: list[int], turn: int) -> None:
    shares, left, given_rows = Shares(), dict(enumerate(sizes)), dict.fromkeys(range(len(sizes)), 0)
    for key in left:
        shares.join(key)

    while left:
        key = shares.next(left)
        rows = min(turn, left[key])
        shares.gave(key, rows)
        given_rows[key] += rows
        left[key] -= rows
        assert all(given_rows[key] - given_rows[other] <= turn for other in left)
        if not left[key]:
            del left[key]
            shares.leave(key)

    assert list(given_rows.values()) == sizes


def test_a_small_batch_that_comes_late_gets_every_second_row() -> None:
    shares = Shares()
    shares.join(BIG)
    for _ in range(1000):
        shares.gave(BIG, 1)
    shares.join(SMALL)

    order = []
    for _ in range(10):
        key = shares.next({BIG, SMALL})
        shares.gave(key, 1)
        order.append(key)

    assert order.count(SMALL) == 5


def test_a_batch_that_waited_does_not_catch_up_on_what_it_missed() -> None:
    shares = Shares()
    shares.join(OLD)
    shares.gave(OLD, 500)
    shares.join(NEW)
    shares.gave(NEW, 100)
    shares.leave(OLD)
    shares.join(OLD)

    assert [shares.next({OLD, NEW}) for _ in range(1)] == [NEW]
    shares.gave(NEW, 1)
    assert shares.next({OLD, NEW}) == OLD


def test_few_rows_wait_at_a_slow_pace() -> None:
    ahead = Ahead(1000)
    now = 0.0
    for _ in range(60):  # ten a minute
        ahead.give(ahead.room(now))
        assert ahead.waiting <= LEAST_AHEAD + 2
        now += 6.0
        ahead.leave(now)


def test_many_free_workers_are_filled_within_a_dozen_rounds() -> None:
    ahead, left, rounds = Ahead(10_000), 0, 0
    while left < 2000:
        room = ahead.room(1.0)
        ahead.give(room)
        for _ in range(room):
            ahead.leave(1.0)
        left += room
        rounds += 1

    assert rounds <= 12


@given(st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 30)), max_size=200), st.integers(1, 100))
def test_never_more_than_allowed_wait_ahead(steps: list[tuple[float, int]], most: int) -> None:
    ahead, now = Ahead(most), 0.0
    for wait, leaving in steps:
        now += wait
        ahead.give(ahead.room(now))
        assert 0 <= ahead.waiting <= most
        for _ in range(min(leaving, ahead.waiting)):
            ahead.leave(now)


def test_what_left_long_ago_counts_no_more() -> None:
    ahead = Ahead(1000)
    ahead.give(100)
    for _ in range(100):
        ahead.leave(0.0)

    assert ahead.room(0.1) > 100
    assert ahead.room(1.0) == LEAST_AHEAD

"""Where the pace of a limit lies, what is noise, and what is a cap on attempts at once."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from pipeline.core.pacing.crowd import FEW_SLOTS, Crowd
from pipeline.core.pacing.departures import Departures
from pipeline.core.pacing.interval import Interval
from pipeline.core.pacing.noise import Noise

if TYPE_CHECKING:
    from collections.abc import Iterable

START = 1000.0


def even(rate: float, seconds: float, log: Departures | None = None, since: float = START) -> Departures:
    log = log or Departures()
    for place in range(round(rate * seconds)):
        log.add(since + place / rate)
    return log


def test_pace_that_survives_is_a_lower_bound_and_one_that_is_refused_an_upper_one() -> None:
    span = Interval()
    span.between(8.0, 12.0)

    assert span.survived(10.0) == 11.0
    span.lowered(11.0, START, -inf, Departures())

    assert (span.low, span.high, span.estimate) == (10.0, 11.0, 10.5)


def test_interval_that_is_narrow_enough_is_sure() -> None:
    span = Interval()
    span.between(9.8, 10.0)

    assert span.survived(9.9) is None
    assert not span.unsure
    assert span.estimate == 9.9


def test_what_a_bucket_lets_in_between_two_refusals_is_its_rate() -> None:
    span = Interval()
    span.sure(20.0)

    span.lowered(20.0, START + 3.0, START, even(10.0, 3.0))

    assert span.estimate == pytest.approx(10.0, rel=0.05)
    assert span.high < 11.0


def test_rate_over_two_paces_bounds_nothing_from_above() -> None:
    """The pace rose after ten seconds: what was let in over the whole cycle is less than what was refused at the end."""
    log = even(20.0, 2.0, even(5.0, 10.0), START + 10)
    span = Interval()
    span.between(5.0, 30.0)

    span.renewed(20.0, 0.5, START, START + 10.0, START + 12.0, START + 13.0, log)

    assert span.high >= 19.0
    assert span.low == pytest.approx(90 / 13, rel=0.05)


def test_test_that_only_takes_the_burst_tells_of_nothing_new() -> None:
    """Rate and depth of a bucket are two unknowns: once the depth is known, a test that takes no more leaves the rate alone."""
    span = Interval()
    span.sure(10.0)
    log = even(12.0, 5.0)
    span.tested(START, START + 5.0, log)
    assert span.trial
    while span.trial:
        assert span.estimate is not None
        span.trial_failed(span.estimate)
    assert span.burst == pytest.approx(10.0, abs=1.0)
    assert span.estimate == 10.0

    span.tested(START, START + 5.0, log)

    assert span.estimate == pytest.approx(10.1)
    assert not span.unsure


def test_test_that_finds_a_limit_that_has_risen_ends_above_it_half_way() -> None:
    span = Interval()
    span.sure(10.0)

    span.tested(START, START + 5.0, even(30.0, 5.0))

    assert span.high == pytest.approx(30.0, rel=0.05)
    assert span.survived(span.estimate or 0.0) is not None
    assert span.low > 15.0


def test_refusals_far_apart_are_noise_and_close_together_a_limit() -> None:
    log, noise = even(10.0, 60.0), Noise()
    noise.begin(START)

    assert not any(noise.is_limit(START + 2.0 * place, 10.0, log) for place in range(1, 20))
    assert noise.known
    assert any(noise.is_limit(START + 40.0 + 0.01 * place, 10.0, log) for place in range(8))


@pytest.mark.parametrize("told, enough", [(False, 5), (True, 3)])
def test_some_refusals_in_a_row_are_a_limit_while_no_noise_is_known(told: bool, enough: int) -> None:  # noqa: FBT001
    log, noise = even(10.0, 5.0), Noise()
    noise.begin(START)
    noise.told = told

    assert [noise.is_limit(START + 4.0 + 0.001 * place, 10.0, log) for place in range(enough)] == [False] * (enough - 1) + [True]


def test_pace_that_is_lowered_again_and_again_without_an_end_was_not_the_cause() -> None:
    log, noise = even(5.0, 60.0), Noise()
    for _ in range(4):
        noise.lowered()

    assert noise.unexplained(START + 50, 5.0, START + 48, log)
    assert noise.share > 0

    calm = Noise()
    for _ in range(3):
        calm.lowered()
    calm.calm()
    calm.lowered()
    assert not calm.unexplained(START + 50, 5.0, START + 48, log)


def refusals_at(numbers: Iterable[int], found: Crowd, *, let_in: int = 48, apart: float = 2.0) -> list[bool]:
    """Refuse attempts that left as the numbers say, one after the other, while so many were let in; whether a cap explains each."""
    for slot in range(FEW_SLOTS + 2):
        found.peak = let_in
        found.note_peak(START - FEW_SLOTS - 2 + slot, 1.0)
    explained = []
    for place, number in enumerate(numbers):
        left = START + apart * place
        explained.append(found.refused(number, left, even=False))
        found.peak = max(found.peak, let_in)
        found.note_peak(left + apart / 2, 1.0)
    return explained


def test_cap_is_assumed_when_refusals_keep_coming_above_what_is_let_in() -> None:
    found = Crowd(200)

    explained = refusals_at([49] * 4, found)

    assert explained.index(True) == 3
    assert found.bound == 48


@pytest.mark.parametrize("numbers", [(40, 49, 45), (49, 30, 49)])
def test_refusals_at_different_numbers_are_no_cap(numbers: tuple[int, ...]) -> None:
    assert not any(refusals_at(numbers * 4, Crowd(200), let_in=29))


def test_numbers_that_are_let_in_as_often_as_they_are_refused_are_no_cap() -> None:
    assert not any(refusals_at([49] * 12, Crowd(200), let_in=60))


def test_refusals_that_come_at_once_are_counted_as_one() -> None:
    assert not any(refusals_at([49] * 6, Crowd(200), apart=0.05))


def test_refusal_well_below_the_cap_shows_that_it_is_none() -> None:
    found = Crowd(200)
    refusals_at([49] * 6, found)
    assert found.capped

    assert not found.refused(30, START + 60, even=False)

    assert not found.capped
    assert found.bound == 200


def test_cap_that_is_told_is_believed_at_once_and_tried_again_later() -> None:
    found = Crowd(200)
    found.told(21)
    assert found.bound == 20

    for place in range(400):
        found.departed(20, START + place, 150)

    assert found.bound > 20

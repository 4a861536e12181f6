from math import inf

import pytest

from pipeline.core.pacing.crowd import Crowd
from pipeline.core.pacing.departures import Departures
from pipeline.core.pacing.interval import Interval
from pipeline.core.pacing.noise import Noise

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


def test_three_refusals_in_a_row_are_a_limit_while_no_noise_is_known() -> None:
    log, noise = even(10.0, 5.0), Noise()
    noise.begin(START)

    assert [noise.is_limit(START + 4.0 + 0.001 * place, 10.0, log) for place in range(3)] == [False, False, True]


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


def crowd(slots: int = 200) -> Crowd:
    return Crowd(slots)


def test_cap_is_assumed_when_refusals_keep_coming_at_the_same_number() -> None:
    found = crowd()

    assert [found.refused(49, START + 2 * place, even=False) for place in range(3)] == [False, False, True]

    assert found.bound == 48


@pytest.mark.parametrize("numbers", [(40, 49, 45), (49, 30, 49)])
def test_refusals_at_different_numbers_are_no_cap(numbers: tuple[int, ...]) -> None:
    found = crowd()

    assert not any(found.refused(number, START + 2 * place, even=False) for place, number in enumerate(numbers))


def test_number_that_was_exceeded_in_between_is_no_cap() -> None:
    found = crowd()
    for place in range(2):
        found.refused(49, START + 2 * place, even=False)
    found.peak = 60

    assert not found.refused(49, START + 6, even=False)


def test_refusals_that_come_at_once_are_counted_as_one() -> None:
    found = crowd()

    assert not any(found.refused(49, START + 0.05 * place, even=False) for place in range(6))


def test_refusal_well_below_the_cap_shows_that_it_is_none() -> None:
    found = crowd()
    for place in range(3):
        found.refused(49, START + 2 * place, even=False)

    assert not found.refused(30, START + 60, even=False)

    assert not found.capped
    assert found.bound == 200


def test_cap_that_is_told_is_believed_at_once_and_tried_again_later() -> None:
    found = crowd()
    found.told(21)
    assert found.bound == 20

    for place in range(400):
        found.departed(20, START + place, 150)

    assert found.bound > 20

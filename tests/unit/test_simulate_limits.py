"""Several limits at once, as a provider keeps them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from pipeline.simulate import LimitKind, SimulatedChange, SimulatedLimits, SimulatedNeighbour
from pipeline.simulate.limits import Charge, Level, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable


def test_no_limits_admit_everything() -> None:
    admission = Limits(SimulatedLimits()).admit(Charge(10**9), 0.0)

    assert admission.admitted
    assert admission.requests is None
    assert admission.tokens is None


@pytest.mark.parametrize("kind", list(LimitKind))
def test_limit_refuses_the_request_above_it_and_says_when_to_come_back(kind: LimitKind) -> None:
    limits = Limits(SimulatedLimits(kind=kind, requests_per_minute=3, count_refused=False))

    admitted = [limits.admit(Charge(1), 120.0) for _ in range(3)]
    refused = limits.admit(Charge(1), 120.0)

    assert all(admission.admitted for admission in admitted)
    assert not refused.admitted
    assert refused.bound == "requests"
    assert not limits.admit(Charge(1), 120.0 + refused.wait_seconds - 0.01).admitted
    assert limits.admit(Charge(1), 120.0 + refused.wait_seconds).admitted


def test_tokens_and_requests_pass_together_or_not_at_all() -> None:
    limits = Limits(SimulatedLimits(requests_per_minute=10, tokens_per_minute=100, count_refused=False))
    limits.admit(Charge(90), 0.0)

    refused = limits.admit(Charge(20), 1.0)

    assert refused.bound == "tokens"
    assert refused.requests is not None
    assert refused.requests.remaining == 9
    assert limits.admit(Charge(10), 1.0).admitted


def test_refused_request_uses_up_the_requests_limit_where_it_counts() -> None:
    limits = Limits(SimulatedLimits(requests_per_minute=10, tokens_per_minute=100))
    limits.admit(Charge(90), 0.0)

    refused = limits.admit(Charge(20), 1.0)

    assert refused.requests is not None
    assert refused.requests.remaining == 8


def test_request_above_the_tokens_of_a_period_never_passes() -> None:
    assert math.isinf(Limits(SimulatedLimits(tokens_per_minute=100)).admit(Charge(101), 0.0).wait_seconds)


def test_fixed_window_lets_twice_the_limit_pass_around_an_edge() -> None:
    limits = Limits(SimulatedLimits(kind=LimitKind.FIXED_WINDOW, requests_per_minute=5))

    admitted = [limits.admit(Charge(1), now).admitted for now in [59.9] * 5 + [60.0] * 5]

    assert all(admitted)


def test_limit_below_one_a_second_is_one_in_a_longer_period() -> None:
    limits = Limits(SimulatedLimits(requests_per_second=0.5, count_refused=False))

    assert [limits.admit(Charge(1), now).admitted for now in (0.0, 1.0, 2.0)] == [True, False, True]


def test_minute_limit_can_be_enforced_on_shorter_windows() -> None:
    limits = Limits(SimulatedLimits(requests_per_minute=60, window_seconds=10, count_refused=False))

    assert sum(limits.admit(Charge(1), 0.0).admitted for _ in range(20)) == 10
    assert limits.admit(Charge(1), 10.0).admitted


ONE = Charge()
KINDS = list(LimitKind)


def passes(limits: Limits, times: Iterable[float], charge: Charge = ONE) -> list[bool]:
    return [limits.admit(charge, now).admitted for now in times]


def every(gap: float, start: float, end: float) -> list[float]:
    return [start + gap * number for number in range(round((end - start) / gap))]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window_seconds", [1.0, 10.0, 60.0, 3600.0])
def test_window_may_have_any_period(kind: LimitKind, window_seconds: float) -> None:
    limits = Limits(SimulatedLimits(kind=kind, requests_per_minute=600, window_seconds=window_seconds, count_refused=False))

    assert sum(passes(limits, [7200.0] * 50_000)) == 10 * window_seconds


def test_bucket_holds_its_burst_and_fills_at_its_rate() -> None:
    config = SimulatedLimits(kind=LimitKind.TOKEN_BUCKET, requests_per_minute=600, burst_seconds=0.5, count_refused=False)
    limits = Limits(config)

    assert sum(passes(limits, [100.0] * 20)) == 5
    assert sum(passes(limits, every(0.01, 100.0, 110.0))) == pytest.approx(100, abs=1)


def test_limit_of_a_day_asks_for_a_wait_of_hours() -> None:
    limits = Limits(SimulatedLimits(requests_per_day=2, count_refused=False))
    passes(limits, [0.0, 3600.0])

    refused = limits.admit(ONE, 7200.0)

    assert (refused.bound, refused.wait_seconds) == ("requests", 86_400 - 7200)


def test_input_and_output_tokens_are_limits_apart() -> None:
    limits = Limits(SimulatedLimits(input_tokens_per_minute=100, output_tokens_per_minute=50))

    bounds = [limits.admit(Charge(0, *tokens), 0.0).bound for tokens in ((60, 10), (60, 10), (40, 60), (40, 40), (1, 1))]

    assert bounds == ["", "input_tokens", "output_tokens", "", "input_tokens"]


def test_in_flight_cap_frees_a_place_when_one_has_left() -> None:
    limits = Limits(SimulatedLimits(max_in_flight=2))
    first = [limits.admit(ONE, 0.0) for _ in range(3)]

    limits.left()

    assert [(one.admitted, one.bound) for one in first] == [(True, ""), (True, ""), (False, "parallel")]
    assert passes(limits, [0.1, 0.2]) == [True, False]


def test_refusal_for_parallel_requests_uses_up_no_other_limit() -> None:
    limits = Limits(SimulatedLimits(max_in_flight=1, requests_per_minute=10))
    passes(limits, [0.0] * 5)

    level = limits.admit(ONE, 0.0).requests

    assert level is not None
    assert level.remaining == 9


@pytest.mark.parametrize("kind", KINDS)
def test_limits_change_at_their_times(kind: LimitKind) -> None:
    changes = (SimulatedChange(at_seconds=200, factor=0.5), SimulatedChange(at_seconds=400, factor=2))
    limits = Limits(SimulatedLimits(kind=kind, requests_per_second=10, count_refused=False, changes=changes), started=1000.0)

    counts = [sum(passes(limits, every(0.02, 1000.0 + start, 1000.0 + start + 50))) for start in (100, 250, 450)]

    assert counts == [pytest.approx(500, abs=10), pytest.approx(250, abs=10), pytest.approx(1000, abs=20)]


def test_in_flight_cap_changes_too() -> None:
    limits = Limits(SimulatedLimits(max_in_flight=10, changes=(SimulatedChange(at_seconds=5, factor=0.5),)))

    assert sum(passes(limits, [5.0] * 20)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_neighbour_takes_its_share_while_it_sends(kind: LimitKind) -> None:
    neighbour = SimulatedNeighbour(share=0.4, on_seconds=30, off_seconds=30)
    limits = Limits(SimulatedLimits(kind=kind, requests_per_second=10, count_refused=False, neighbour=neighbour))

    busy = passes(limits, every(1 / 5.9, 0.0, 29.0))
    greedy = passes(limits, every(1 / 12, 360.0, 480.0))

    assert all(busy)
    assert sum(greedy) < 0.95 * 1200


def test_neighbour_that_rests_takes_nothing() -> None:
    neighbour = SimulatedNeighbour(share=0.4, on_seconds=30, off_seconds=30)
    limits = Limits(SimulatedLimits(requests_per_second=10, count_refused=False, neighbour=neighbour))

    assert all(passes(limits, every(0.1, 31.0, 59.0)))
    assert not all(passes(limits, every(0.1, 60.0, 62.0)))


def test_neighbour_holds_its_share_of_what_may_be_in_flight() -> None:
    limits = Limits(SimulatedLimits(max_in_flight=10, neighbour=SimulatedNeighbour(share=0.4, on_seconds=30, off_seconds=30)))

    assert sum(passes(limits, [1.0] * 20)) == 6
    assert sum(passes(limits, [31.0] * 20)) == 4


def test_neighbour_takes_tokens_where_no_limit_counts_requests() -> None:
    limits = Limits(SimulatedLimits(tokens_per_minute=600, neighbour=SimulatedNeighbour(share=0.5, on_seconds=60, off_seconds=0)))

    level = limits.admit(Charge(1), 59.9).tokens

    assert level is not None
    assert level.remaining == pytest.approx(300, abs=5)


def test_neighbour_of_a_long_rest_costs_no_more_than_the_longest_period() -> None:
    limits = Limits(SimulatedLimits(requests_per_second=1000, neighbour=SimulatedNeighbour(share=1, on_seconds=1, off_seconds=0)))

    limits.admit(ONE, 1e9)

    assert limits._neighbour is not None
    assert len(list(limits._neighbour.until(2e9))) <= 1001


def test_headers_may_tell_of_a_minute_where_a_second_is_enforced() -> None:
    limits = Limits(SimulatedLimits(requests_per_second=2, told_seconds=60, count_refused=False))

    third = [limits.admit(ONE, 10.0) for _ in range(3)][-1]

    assert not third.admitted
    assert third.requests == Level(120.0, 118.0, 1.0)


def test_burst_is_refused_where_there_is_no_bucket() -> None:
    with pytest.raises(ValueError, match="burst_seconds is what a token_bucket holds; a sliding_window has none"):
        SimulatedLimits(requests_per_second=1, burst_seconds=2)

"""Several limits at once, as a provider keeps them."""

from __future__ import annotations

import math

import pytest

from pipeline.simulate import LimitKind, SimulatedLimits
from pipeline.simulate.limits import Limits


def test_no_limits_admit_everything() -> None:
    admission = Limits(SimulatedLimits()).admit(10**9, 0.0)

    assert admission.admitted
    assert admission.requests is None
    assert admission.tokens is None


@pytest.mark.parametrize("kind", list(LimitKind))
def test_limit_refuses_the_request_above_it_and_says_when_to_come_back(kind: LimitKind) -> None:
    limits = Limits(SimulatedLimits(kind=kind, requests_per_minute=3, count_refused=False))

    admitted = [limits.admit(1, 120.0) for _ in range(3)]
    refused = limits.admit(1, 120.0)

    assert all(admission.admitted for admission in admitted)
    assert not refused.admitted
    assert refused.bound == "requests"
    assert not limits.admit(1, 120.0 + refused.wait_seconds - 0.01).admitted
    assert limits.admit(1, 120.0 + refused.wait_seconds).admitted


def test_tokens_and_requests_pass_together_or_not_at_all() -> None:
    limits = Limits(SimulatedLimits(requests_per_minute=10, tokens_per_minute=100, count_refused=False))
    limits.admit(90, 0.0)

    refused = limits.admit(20, 1.0)

    assert refused.bound == "tokens"
    assert refused.requests is not None
    assert refused.requests.remaining == 9
    assert limits.admit(10, 1.0).admitted


def test_refused_request_uses_up_the_requests_limit_where_it_counts() -> None:
    limits = Limits(SimulatedLimits(requests_per_minute=10, tokens_per_minute=100))
    limits.admit(90, 0.0)

    refused = limits.admit(20, 1.0)

    assert refused.requests is not None
    assert refused.requests.remaining == 8


def test_request_above_the_tokens_of_a_period_never_passes() -> None:
    assert math.isinf(Limits(SimulatedLimits(tokens_per_minute=100)).admit(101, 0.0).wait_seconds)


def test_fixed_window_lets_twice_the_limit_pass_around_an_edge() -> None:
    limits = Limits(SimulatedLimits(kind=LimitKind.FIXED_WINDOW, requests_per_minute=5))

    admitted = [limits.admit(1, now).admitted for now in [59.9] * 5 + [60.0] * 5]

    assert all(admitted)


def test_limit_below_one_a_second_is_one_in_a_longer_period() -> None:
    limits = Limits(SimulatedLimits(requests_per_second=0.5, count_refused=False))

    assert [limits.admit(1, now).admitted for now in (0.0, 1.0, 2.0)] == [True, False, True]


def test_minute_limit_can_be_enforced_on_shorter_windows() -> None:
    limits = Limits(SimulatedLimits(requests_per_minute=60, window_seconds=10, count_refused=False))

    assert sum(limits.admit(1, 0.0).admitted for _ in range(20)) == 10
    assert limits.admit(1, 10.0).admitted

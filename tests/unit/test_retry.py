"""When a failed attempt is made again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers.classify import Trouble
from pipeline.core.answers.retry import RetryPolicy, retry_delay
from pipeline.records import FailureKind

draws = st.floats(0, 1, exclude_max=True)
policies = st.builds(RetryPolicy, st.integers(1, 100), st.floats(0, 10), st.floats(0, 100))


def transient(wait: float | None = None) -> Trouble:
    return Trouble(FailureKind.HTTP, "later", retryable=True, wait_seconds=wait)


@given(policies, st.integers(1, 2000), draws)
def test_own_back_off_stays_between_zero_and_the_cap(policy: RetryPolicy, attempt: int, draw: float) -> None:
    assert 0 <= retry_delay(transient(), attempt, policy, draw) <= policy.cap_seconds


@given(st.floats(0, 1e6), draws, st.integers(1, 5))
def test_a_wait_that_the_provider_asks_for_is_a_minimum_even_above_the_cap(wait: float, draw: float, attempt: int) -> None:
    delay = retry_delay(transient(wait), attempt, RetryPolicy(attempts=6, base_seconds=0.5, cap_seconds=1.0), draw)

    assert wait <= delay <= wait + 0.5


def test_back_off_doubles_until_the_cap() -> None:
    policy = RetryPolicy(attempts=10, base_seconds=0.5, cap_seconds=3.0)

    assert [retry_delay(transient(), attempt, policy, 1.0) for attempt in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("values", [(0, 0.5, 60.0), (6, -1.0, 60.0), (6, 0.5, -1.0)])
def test_a_policy_that_makes_no_sense_is_refused(values: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="must be >="):
        RetryPolicy(*values)

"""When a failed attempt is made again. Pure: randomness is the caller's `draw`, time is added by the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.core.answers.classify import Trouble


BOUGHT = 2  # so often an answer that is none is asked for: the second may be another, a third is the same and costs the same
THROTTLED_SHARE = 4  # times as many attempts as `attempts`, at most, over what is no fault of the row: 24 outlast 9 minutes


class RetryPolicy(Struct, frozen=True):
    """attempts: at most so many failed ones are held against a row. base_seconds, cap_seconds: bounds of the own back-off."""

    attempts: int = 6
    base_seconds: float = 0.5
    cap_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_seconds < 0 or self.cap_seconds < 0:
            raise ValueError(f"attempts must be >= 1, base_seconds and cap_seconds >= 0, got {self}")

    def exhausted(self, attempt: int, strikes: int) -> bool:
        """Whether a row has had its attempts. attempt: how many were made. strikes: those of them held against it."""
        return strikes >= self.attempts or attempt >= THROTTLED_SHARE * self.attempts


def retry_delay(trouble: Trouble, attempt: int, policy: RetryPolicy, draw: float) -> float:
    """Wait before the next attempt, in seconds.

    attempt: the number of the one that failed, from 1. draw: uniform in [0, 1). A wait that the provider asks for is a
    minimum, honoured even above the cap; jitter is added, so that waiters do not return all at once.
    Source: AWS Architecture Blog, "Exponential Backoff And Jitter", full jitter.
    """
    if trouble.wait_seconds is not None:
        return trouble.wait_seconds + draw * policy.base_seconds
    # 2**63 is past any cap; a larger exponent would overflow a float
    return draw * min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(attempt - 1, 63))

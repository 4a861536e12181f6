"""When a failed attempt is made again. Pure: randomness is the caller's `draw`, time is added by the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.core.answers.classify import Trouble


BOUGHT = 2  # so often an answer that is none is asked for: the second may be another, a third is the same and costs the same


class RetryPolicy(Struct, frozen=True):
    """When a row, and when a run, has tried for long enough.

    attempts: failed ones that a row has for its own faults. base_seconds, cap_seconds: bounds of the own back-off.
    patience_seconds: how long the run holds its rows while nothing works; 0 holds none. stop_after: rows in a row with the same
    permanent answer that stop the run, None for never.
    """

    attempts: int = 6
    base_seconds: float = 0.5
    cap_seconds: float = 60.0
    patience_seconds: float = 600.0
    stop_after: int | None = 20

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_seconds < 0 or self.cap_seconds < 0:
            raise ValueError(f"attempts must be >= 1, base_seconds and cap_seconds >= 0, got {self}")


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

"""What the gate counts, for progress and the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.pacing.lane_state import LaneState


class GateTally(Struct, eq=False):
    """What the gate counts.

    stopped: why it let nothing more leave, or None. bound: what holds the run back now. bound_seconds: time held back, by bound.
    waits_for: what the run waits for while nothing works, else "". first_at, last_at: clock of the first and the latest departure.
    queued: jobs without an attempt. looked_at: clock of the latest look, about once a second. lanes: with what each of them counts.
    """

    attempts: int = 0
    retries: int = 0
    throttled: int = 0
    unknown_outcome: int = 0
    in_flight: int = 0
    waiting: int = 0
    queued: int = 0
    bound: str = ""
    bound_seconds: dict[str, float] = field(default_factory=dict)
    stopped: str | None = None
    waits_for: str = ""
    first_at: float = 0.0
    last_at: float = 0.0
    looked_at: float = 0.0
    lanes: Sequence[LaneState] = ()

    def waited(self, bound: str, seconds: float) -> None:
        """Count a wait of the run, and of each lane for what holds that one back."""
        self.bound_seconds[bound] = self.bound_seconds.get(bound, 0.0) + seconds
        for state in self.lanes:
            state.waits.add(seconds)

"""A gate without a world: asks a lane for leave as the gate stage does, on a clock that is a number."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from pipeline.core.pacing.lane import Lane, Wait
from pipeline.messages import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def release(lane: Lane, now: float, tokens: int = 0, most: int = 1_000_000) -> list[Grant]:
    """All that may leave at one instant."""
    grants: list[Grant] = []
    while len(grants) < most and isinstance(grant := lane.admit(now, tokens), Grant):
        grants.append(grant)
    return grants


def saturate(
    lane: Lane, start: float, seconds: float, late: Callable[[], float], tokens: Callable[[], int] = int
) -> list[tuple[float, int]]:
    """Departures (clock, tokens) while more always waits; late: how much after its due time each wake comes."""
    departures = []
    now = start
    while now < start + seconds:
        size = tokens()
        while isinstance(answer := lane.admit(now, size), Grant):
            departures.append((now, size))
            size = tokens()
        while isinstance(answer, Wait):
            assert answer.wake >= answer.until > now
            now = answer.wake + late()
            answer = lane.admit(now, size)
        departures.append((now, size))
    return departures


def fullest_window(departures: Sequence[tuple[float, float]], period: float) -> float:
    """The most that left in any half-open window of a period, over all that begin at a departure."""
    ordered = sorted(departures)
    times = [at for at, _ in ordered]
    sums = [0.0, *accumulate(amount for _, amount in ordered)]
    ends = (bisect_right(times, at) for at in times)
    return max((sums[end] - sums[bisect_right(times, times[end - 1] - period)] for end in ends), default=0.0)

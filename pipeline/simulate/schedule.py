"""What the time decides: which outages are on. Pure: seconds since the provider's start are an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.simulate.faults import MOVED, QUIRKS, Fault
from pipeline.simulate.schedule_config import REFUSED, SLOW

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.simulate.schedule_config import SimulatedOutage


class Conditions(Struct, frozen=True):
    """What holds at a time. failure: what every request gets instead of an answer. quirk: what its right answer looks like.

    factor: answers take that many times as long.
    """

    failure: Fault | None = None
    quirk: Fault | None = None
    factor: float = 1.0

    def with_(self, other: Conditions) -> Conditions:
        """Both together; where both have a fault, the other's."""
        return Conditions(other.failure or self.failure, other.quirk or self.quirk, self.factor * other.factor)


def conditions_at(outages: Iterable[SimulatedOutage], seconds: float, path: str) -> Conditions:
    """The conditions so long after the start. path: of the request; one with a slash behind it is where a moved one has moved to."""
    found = Conditions()
    for outage in outages:
        if not outage.holds(seconds) or outage.fault == REFUSED:
            continue
        if outage.fault == SLOW:
            found = found.with_(Conditions(factor=outage.factor))
            continue
        fault = Fault(outage.fault)
        if fault in QUIRKS:
            found = found.with_(Conditions(quirk=fault))
        elif fault not in MOVED or not path.endswith("/"):
            found = found.with_(Conditions(failure=fault))
    return found


def times_refused(outages: Iterable[SimulatedOutage]) -> list[tuple[float, float]]:
    """When connections are refused: from and to, in seconds since the start, in their order and apart from one another."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted((outage.at_seconds, outage.end) for outage in outages if outage.fault == REFUSED):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged

"""A time in which a limit lets nothing in, from the first refusal to the first attempt that is let in again. No clock.

One attempt at a time asks whether it is over: the probe. The provider's wait is kept; it is believed once, without a probe. After
that the waits grow of their own accord too, for a server that says "1 second" for a minute would be asked sixty times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.messages import Grant

LEAST_DELAY, MOST_DELAY, GROWTH = 0.25, 8.0, 1.5  # between probes, where the provider does not say


class Outage(Struct, eq=False):
    """since: when the refused attempt left. said: the wait that the provider asked for, 0 if it did not. due: when to probe.

    direct: the wait is believed, and no probe is needed. explained: the headers said that nothing was left. tested: it ended a
    test. refused_at: when the last attempt left that was refused.
    """

    since: float
    said: float
    delay: float
    due: float
    direct: bool = False
    explained: bool = False
    tested: bool = False
    probe: Grant | None = None
    probe_at: float = 0.0
    refused_at: float = 0.0
    refusals: int = 1

    def __post_init__(self) -> None:
        self.refused_at = self.since

    def refused(self, grant: Grant, now: float, said: float, edge: float) -> None:
        """Another attempt was refused. edge: when a known window opens, `now` if none is known."""
        self.refusals += 1
        if grant is self.probe:
            self.probe, self.direct = None, False
            self.delay = min(MOST_DELAY, GROWTH * self.delay)
            self.refused_at = grant.left
            self.due = max(now + max(said, self.delay), edge)
        elif said and self.probe is None:
            self.due = max(self.due, now + said)

    def lost(self, now: float) -> None:
        """The probe ended in a way that says nothing."""
        self.probe = None
        self.due = max(self.due, now + self.delay)

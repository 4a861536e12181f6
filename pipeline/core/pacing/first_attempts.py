"""How many of the latest first attempts on a lane failed, and what that means for a row that has failed often. Pure.

Only first attempts count: a row that can never be answered fails on every retry, and its retries say nothing about the lane.
"""

from __future__ import annotations

from pipeline.core.pacing.history import Shares

RECENT = 20  # first attempts that are remembered
MOST_OF_RECENT = 16  # failures among them that hold a lane
RECENTLY_LIMITED = 60  # first attempts of which it is remembered whether a rate limit refused them
LIMITED_SHARE, FAILED_SHARE = 0.05, 0.5  # of late first attempts: from here on a row's own failures may be chance
CHANCE = 1e-6  # a row is to blame when its failures could be chance so rarely
FEW_ROWS = 2  # this many rows may be at fault themselves


class FirstAttempts:
    """failed: those that failed as others' probably do. limited: those that a rate limit refused."""

    __slots__ = ("failed", "limited")

    def __init__(self) -> None:
        self.failed, self.limited = Shares(RECENT), Shares(RECENTLY_LIMITED)

    def answered(self) -> None:
        """Note one that was answered."""
        self.failed.add(0)
        self.limited.add(0)

    @property
    def any_failed(self) -> bool:
        """Whether one of those that are remembered was not answered."""
        return bool(self.failed.bits or self.limited.bits)

    @property
    def too_many_failed(self) -> bool:
        """Whether so many failed that the lane does not work, though not one after the other."""
        return self.failed.count >= MOST_OF_RECENT

    @property
    def limits_others(self) -> bool:
        """Whether a rate limit refused several rows of late, and not only a few that may be at fault themselves."""
        return self.limited.count > FEW_ROWS

    def by_chance(self, failures: int, departures: int, *, limited: bool) -> bool:
        """Whether a row may have failed so often only because many others fail too. limited: because of a rate limit."""
        share = (self.limited if limited else self.failed).share(departures)
        return share >= (LIMITED_SHARE if limited else FAILED_SHARE) and share**failures > CHANCE

"""Which batch gives the next rows, and how many rows may be ready ahead of the gate.

Theory of operation. All batches feed one gate, so they share its limits. `Shares` deals rows out so that every batch has got the
same number since it came: each has a counter, the lowest is next, and a new batch starts at the lowest counter of those that are
there. So a small batch that comes behind a big one gets every second row at once, and a big one cannot starve others.

A row that was given cannot be overtaken any more, so few must wait in front of the gate: as many as it takes so that the gate
never lacks a row. `Ahead` allows twice what has left lately, and a few more. At ten rows a minute that is a handful; when
hundreds leave at once it doubles with every round, which takes milliseconds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

LEAST_AHEAD = 2  # rows
RECENT_SECONDS = 0.5  # what has left within this time foretells what will; a busy machine fills up late by some tenths
BUCKETS = 5  # of RECENT_SECONDS


class Shares:
    """Deals turns out to batches, named by numbers."""

    def __init__(self) -> None:
        self._given: dict[int, float] = {}

    def join(self, key: int) -> None:
        """A batch has rows to give."""
        self._given.setdefault(key, min(self._given.values(), default=0.0))

    def leave(self, key: int) -> None:
        """It has none any more."""
        self._given.pop(key, None)

    def next(self, able: Collection[int]) -> int:
        """The batch among these, one at least, that is to give rows now: of equal ones the one that came first."""
        return min((key for key in self._given if key in able), key=self._given.__getitem__)

    def gave(self, key: int, rows: int) -> None:
        """It gave so many rows."""
        if key in self._given:
            self._given[key] += rows


class Ahead:
    """Counts rows that were given and have not left, and says how many more may be given."""

    def __init__(self, most: int) -> None:
        self.waiting = 0
        self._most = most
        self._recent: deque[tuple[int, int]] = deque()  # number of a slice of time, and what left in it
        self._sum = 0

    def give(self, rows: int) -> None:
        """So many rows were given."""
        self.waiting += rows

    def leave(self, now: float) -> None:
        """One of them has left for the first time."""
        self.waiting -= 1
        at = int(now * BUCKETS / RECENT_SECONDS)
        if self._recent and self._recent[-1][0] == at:
            self._recent[-1] = (at, self._recent[-1][1] + 1)
        else:
            self._recent.append((at, 1))
        self._sum += 1

    def drop(self) -> None:
        """One of them has ended without leaving."""
        self.waiting -= 1

    def room(self, now: float) -> int:
        """How many rows may be given now."""
        oldest = int(now * BUCKETS / RECENT_SECONDS) - BUCKETS
        while self._recent and self._recent[0][0] < oldest:
            self._sum -= self._recent.popleft()[1]
        return max(0, min(self._most, LEAST_AHEAD + 2 * self._sum) - self.waiting)

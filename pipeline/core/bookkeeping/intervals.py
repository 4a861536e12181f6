"""A set of whole numbers that come mostly in runs, in memory that grows with the runs and not with the numbers."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Intervals:
    """Disjoint half-open intervals `[first, end)`, none of which touch."""

    __slots__ = ("_ends", "_firsts", "_size")

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        self._size = 0
        for first, end in runs:
            self.add(first, end)

    def __len__(self) -> int:
        """How many numbers are in the set."""
        return self._size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The runs, in order."""
        return zip(self._firsts, self._ends, strict=True)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number < self._ends[at]

    def run_of(self, number: int) -> tuple[int, int]:
        """The interval that a number of the set is in."""
        at = bisect_right(self._firsts, number) - 1
        return self._firsts[at], self._ends[at]

    def add(self, first: int, end: int) -> None:
        """Add `[first, end)`, which must not be in the set yet."""
        firsts, ends = self._firsts, self._ends
        at = bisect_right(firsts, first)
        self._size += end - first
        joins_left = at > 0 and ends[at - 1] == first
        joins_right = at < len(firsts) and firsts[at] == end
        if joins_left and joins_right:
            ends[at - 1] = ends.pop(at)
            del firsts[at]
        elif joins_left:
            ends[at - 1] = end
        elif joins_right:
            firsts[at] = first
        else:
            firsts.insert(at, first)
            ends.insert(at, end)

    def take(self, first: int, most: int) -> int:
        """Remove the numbers from `first` on, as far as they come in one run and at most this many; how many were removed.

        first: the start of a run, or a number that is not in the set (then nothing is removed).
        """
        firsts, ends = self._firsts, self._ends
        at = bisect_right(firsts, first) - 1
        if at < 0 or firsts[at] != first:
            return 0
        count = min(most, ends[at] - first)
        if first + count == ends[at]:
            del firsts[at], ends[at]
        else:
            firsts[at] = first + count
        self._size -= count
        return count

"""Rows that failed one after the other on a lane: their first attempts, since its last good answer. Pure: `now` is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOW_SECONDS, SLOW_TIMES = 1.0, 2  # an attempt that takes so much longer than failures do is probably being answered


class Streak:
    """Its length is the number of rows."""

    __slots__ = ("_failed", "_slowest")

    def __init__(self) -> None:
        self._failed: dict[int, int] = {}  # number of the failed attempt by row
        self._slowest = 0.0  # seconds that the slowest of these took to fail

    def __len__(self) -> int:
        return len(self._failed)

    def add(self, row: int, number: int, took: float) -> None:
        """Note a failed attempt, which took so many seconds."""
        self._failed[row] = number
        self._slowest = max(self._slowest, took)

    def answered(self, number: int) -> None:
        """Forget the failures of attempts that left before this one, which was answered."""
        self._failed = {row: failed for row, failed in self._failed.items() if failed > number}
        self._slowest = self._slowest if self._failed else 0.0

    def clear(self) -> None:
        """Forget all of them."""
        self._failed.clear()

    def others_wait(self, now: float, flying: Mapping[int, float], departures: int) -> bool:
        """Whether attempts that left during the failures wait for much longer than the failures took: they are probably being answered.

        flying: when each of the attempts in flight left, by its number. departures: of the lane so far.
        """
        first = min(self._failed.values(), default=departures)
        late = now - SLOW_SECONDS - SLOW_TIMES * self._slowest
        waiting = sum(left < late for number, left in flying.items() if number > first)
        return waiting * 2 > len(self._failed)

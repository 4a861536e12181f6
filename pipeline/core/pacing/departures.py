"""What left and was not refused, over the last two and a half minutes, in fixed memory. No clock: `now` is an argument.

A provider answers a request late (an LLM takes seconds) but refuses it at once. So a departure counts as let in from the
moment it leaves, and is taken out again when a refusal of it comes back.
"""

from __future__ import annotations

CELLS_PER_SECOND = 100
CELLS = 16_384  # a power of two, so that the place in the ring is one `&`: 163 s, above two windows of a minute
MASK = CELLS - 1
KEPT_SECONDS = CELLS / CELLS_PER_SECOND - 1.0


class Departures:
    """Counts of departures in cells of 10 ms, in a ring."""

    __slots__ = ("_newest", "_oldest", "_ring")

    def __init__(self) -> None:
        self._ring = [0] * CELLS
        self._newest = -1
        self._oldest = 0

    def add(self, now: float, count: int = 1) -> None:
        """Log departures; `now` never goes back."""
        cell = int(now * CELLS_PER_SECOND)
        if cell != self._newest:
            self._advance(cell)
        self._ring[cell & MASK] += count

    def remove(self, at: float) -> None:
        """Take out the departure that left at `at`: it was refused."""
        cell = int(at * CELLS_PER_SECOND)
        if cell >= self._oldest and self._ring[cell & MASK]:
            self._ring[cell & MASK] -= 1

    def count(self, start: float, end: float) -> int:
        """How many left from `start` up to, but without, `end`."""
        first = max(int(start * CELLS_PER_SECOND), self._oldest) if start > 0 else self._oldest
        last = self._newest + 1 if end * CELLS_PER_SECOND > self._newest else int(end * CELLS_PER_SECOND)
        if last <= first:
            return 0
        low, high = first & MASK, last & MASK
        if low < high:
            return sum(self._ring[low:high])
        return sum(self._ring[low:]) + sum(self._ring[:high])

    def count_before(self, start: float, end: float) -> int:
        """How many left from `start` up to the cell of `end`: those in its own cell may still be refused, in a burst most of them."""
        return self.count(start, int(end * CELLS_PER_SECOND) / CELLS_PER_SECOND)

    def oldest_since(self, start: float, otherwise: float) -> float:
        """When the first of those left that left since `start`; `otherwise` if none did."""
        first = max(int(start * CELLS_PER_SECOND) + 1, self._oldest)
        ring = self._ring
        for cell in range(first, self._newest + 1):
            if ring[cell & MASK]:
                return cell / CELLS_PER_SECOND
        return otherwise

    def since(self, start: float) -> list[tuple[float, int]]:
        """(clock, how many) of all that left since `start`, in order."""
        ring = self._ring
        first = max(int(start * CELLS_PER_SECOND) + 1, self._oldest)
        return [(cell / CELLS_PER_SECOND, ring[cell & MASK]) for cell in range(first, self._newest + 1) if ring[cell & MASK]]

    def _advance(self, cell: int) -> None:
        if self._newest < 0 or cell - self._newest >= CELLS:
            self._ring = [0] * CELLS
            self._oldest = cell
        else:
            ring = self._ring
            for empty in range(self._newest + 1, cell + 1):
                ring[empty & MASK] = 0
            self._oldest = max(self._oldest, cell - CELLS + 1)
        self._newest = cell

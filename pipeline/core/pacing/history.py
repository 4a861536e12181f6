"""What a lane remembers of its past: how many of the latest attempts failed, and during which departures it did not work."""

from __future__ import annotations

from math import inf

FEW = 10  # attempts of which a share may be told


class Outage:
    """Departures from the number `first` up to `end`, during which a lane did not work."""

    __slots__ = ("end", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self.end = inf


class Shares:
    """Whether each of the latest first attempts failed, as bits, the latest lowest."""

    __slots__ = ("_mask", "_size", "bits")

    def __init__(self, size: int) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        self.bits = 0

    def add(self, failed: int) -> None:
        """Take note of one more: 1 for a failure."""
        self.bits = (self.bits << 1 | failed) & self._mask

    def clear(self) -> None:
        """Forget all."""
        self.bits = 0

    @property
    def count(self) -> int:
        """Failures among them."""
        return self.bits.bit_count()

    def share(self, attempts: int) -> float:
        """The share of failures. attempts: how many there have been at all."""
        return self.bits.bit_count() / max(FEW, min(self._size, attempts))

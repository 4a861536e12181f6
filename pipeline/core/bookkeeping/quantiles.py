"""Quantiles of many positive numbers in little memory: counts in cells whose bounds grow by 2.2 %, so that a quantile is right to 1.1 %."""

from __future__ import annotations

from collections import Counter
from math import floor, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CELLS = 32  # for every doubling
LEAST = 1e-6  # what is smaller counts as this
SHOWN = (50, 95, 99)  # percentiles


class Quantiles:
    """Counts numbers by size. Numbers of zero or less count as the least."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: Counter[int] = Counter()

    def add(self, values: Sequence[float]) -> None:
        """Count numbers."""
        if values:
            sizes = map(log2, values if min(values) >= LEAST else [max(value, LEAST) for value in values])
            self._cells.update(map(floor, [size * CELLS for size in sizes]))

    def shown(self) -> dict[str, float]:
        """p50, p95 and p99, to four digits; nothing where nothing was counted."""
        cells = sorted(self._cells.items())
        count = sum(count for _, count in cells)
        return {f"p{percent}": _rounded(self._at(cells, count * percent / 100)) for percent in SHOWN} if cells else {}

    def _at(self, cells: list[tuple[int, int]], left: float) -> float:
        for cell, count in cells:  # noqa: B007  the last one is what is looked for
            left -= count
            if left <= 1e-9:
                break
        return float(2 ** ((cell + 0.5) / CELLS))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

"""Quantiles of many positive numbers in little memory: counts in cells whose bounds grow by 2.2 %, so that a quantile is right to 1.1 %."""

from __future__ import annotations

from collections import Counter
from math import log2

CELLS = 32  # for every doubling
SHOWN = (50, 95, 99)  # percentiles


class Quantiles:
    """Counts numbers by size. Numbers of zero or less count as the least."""

    __slots__ = ("_cells", "_count")

    def __init__(self) -> None:
        self._cells: Counter[int] = Counter()
        self._count = 0

    def add(self, value: float) -> None:
        """Count a number."""
        self._cells[int(log2(value) * CELLS) if value > 1e-6 else -20 * CELLS] += 1
        self._count += 1

    def shown(self) -> dict[str, float]:
        """p50, p95 and p99, to four digits; nothing where nothing was counted."""
        cells = sorted(self._cells.items())
        return {f"p{percent}": _rounded(self._at(cells, percent / 100)) for percent in SHOWN} if cells else {}

    def _at(self, cells: list[tuple[int, int]], share: float) -> float:
        left = share * self._count
        for cell, count in cells:  # noqa: B007  the last one is what is looked for
            left -= count
            if left <= 1e-9:
                break
        middle = (cell + 0.5 if cell >= 0 else cell - 0.5) / CELLS  # `int` cuts towards zero
        return float(2**middle)


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")

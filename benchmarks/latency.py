"""How long the server takes over a row: a function of the row alone, so that every client meets the same waits.

Written as `fixed:SECONDS`, `uniform:LOW:HIGH` or `lognormal:MEDIAN:SIGMA:CAP`.
"""

from __future__ import annotations

import math
import random

TABLE_SIZE = 4096  # rows whose numbers differ by this much take equally long
SEED = 20_240_917


def latency_table(spec: str) -> list[float]:
    """Seconds for the row numbers modulo TABLE_SIZE."""
    kind, *numbers = spec.split(":")
    parameters = [float(number) for number in numbers]
    draw = random.Random(SEED)
    match kind, parameters:
        case "fixed", [seconds]:
            return [seconds] * TABLE_SIZE
        case "uniform", [low, high]:
            return [draw.uniform(low, high) for _ in range(TABLE_SIZE)]
        case "lognormal", [median, sigma, cap]:
            return [min(cap, draw.lognormvariate(math.log(median), sigma)) for _ in range(TABLE_SIZE)]
    raise ValueError(f"latency must be fixed:S, uniform:LOW:HIGH or lognormal:MEDIAN:SIGMA:CAP, got {spec!r}")


def mean_latency(spec: str, rows: int) -> float:
    """The mean wait of the first `rows` rows, in seconds."""
    table = latency_table(spec)
    whole, rest = divmod(rows, TABLE_SIZE)
    return (whole * sum(table) + sum(table[:rest])) / rows

"""Runs many random plans of a cluster on virtual time and counts windows over the limit: `python -m benchmarks.cluster_plans 10000`.

The bar is none. A plan takes about 0.1 s; the results of the last whole run are in `benchmarks/results/cluster.md`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from tests.fakes.limited import fullest_window
from tests.fakes.virtual_cluster import Cluster, random_plan


def main() -> int:
    """Run plans 0 to N - 1, or FIRST to LAST - 1, and print those that break the law."""
    first, last = (0, int(sys.argv[1])) if len(sys.argv) == 2 else (int(sys.argv[1]), int(sys.argv[2]))
    begun, over, departures = time.perf_counter(), 0, 0
    met: Counter[str] = Counter()
    for seed in range(first, last):
        plan = random_plan(seed)
        cluster = Cluster(plan)
        try:
            cluster.run()
            most = fullest_window(cluster.departures, plan.limit.period)
        except AssertionError:
            most = float("inf")  # permits were lost or made
        departures += len(cluster.departures)
        met.update(trouble.what for trouble in plan.troubles)
        met["tokens"] += plan.tokens is not None
        met["late"] += plan.late_seconds > 0
        if most > plan.limit.amount:
            over += 1
            print(f"plan {seed}: {most} of {plan.limit.amount} in {plan.limit.period} s", flush=True)
    print(f"{last - first} plans, {departures} departures, {over} over the limit, {time.perf_counter() - begun:.0f} s; {dict(met)}")
    return 1 if over else 0


if __name__ == "__main__":
    raise SystemExit(main())

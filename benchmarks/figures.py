"""From runs to figures: pure functions, no measuring.

A run is a flat dictionary of numbers. A figure is the median of its runs with their spread: half the distance between the
smallest and the largest, as a share of the median.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.latency import mean_latency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.scenarios import Scenario

NOISY = 0.10  # a spread above this is flagged


@frozen
class Figure:
    """median, and spread as a share of it."""

    median: float
    spread: float

    @property
    def noisy(self) -> bool:
        """Whether the runs disagree too much to be quoted without saying so."""
        return self.spread > NOISY


def figure(values: Sequence[float]) -> Figure:
    """Of at least one value."""
    middle = median(values)
    return Figure(middle, (max(values) - min(values)) / 2 / abs(middle) if middle else 0.0)


def derive(scenario: Scenario, run: Mapping[str, float]) -> dict[str, float]:
    """The figures of one run, from what the launcher (cost), the subject (rows) and the server (seen_…) say.

    sending_cpu_us_per_row: from when a program had read, imported and prepared everything.
    achieved_of_ideal: ideal time ÷ time from the first arrival to the last reply, ramp included. steady_of_ideal: arrivals per
    second from row 2 N on, ÷ what N in flight and the client's own limit allow. attained: requests that passed, ÷ what the
    limit allowed in that time; attained_later: the same without the first ten seconds. refused_share: of all requests.
    """
    rows, answered = run["rows"], max(1.0, run["rows"] - run["lost"])
    figures = {
        "rows": rows,
        "right": run["right"],
        "misplaced": run["misplaced"],
        "lost": run["lost"],
        "rows_per_second": answered / run["wall_seconds"],
        "cpu_us_per_row": run["cpu_seconds"] / answered * 1e6,
        "peak_rss_mb": run["peak_rss_mb"],
        "wall_seconds": run["wall_seconds"],
        "connections": run["seen_accepted"],
        "most_in_flight": run["seen_most_in_flight"],
        "requests": run["seen_requests"],
        "refused": run["seen_refused"],
        "most_in_a_second": run["seen_most_in_a_second"],
    }
    if "sending_cpu_seconds" in run:
        figures["sending_cpu_us_per_row"] = run["sending_cpu_seconds"] / answered * 1e6
    if run.get("seen_last_reply"):
        figures |= pace(scenario, run, rows)
    elif run["seen_requests"]:
        figures["server_cpu_share"] = run["seen_cpu_seconds"] / run["wall_seconds"]
        figures["refused_share"] = run["seen_refused"] / run["seen_requests"]
        figures |= found(scenario, run)
    return figures


def found(scenario: Scenario, run: Mapping[str, float]) -> dict[str, float]:
    """How much of a limit that it was not told a client has found, as the embedded provider saw it."""
    if scenario.allowed is None:
        return {}
    figures = {"wall_of_ideal": run["wall_seconds"] / (run["rows"] / scenario.allowed)}
    for name, seen in (("attained", "seen_passed_per_second"), ("attained_later", "seen_later_passed_per_second")):
        if seen in run:
            figures[name] = run[seen] / scenario.allowed
    return figures


def pace(scenario: Scenario, run: Mapping[str, float], rows: float) -> dict[str, float]:
    """The figures that need the times at which the server saw the first and the last of a run."""
    span = max(1e-9, run["seen_last_reply"] - run["seen_first_arrival"])
    wait = mean_latency(scenario.latency, int(rows)) + scenario.events * scenario.event_seconds
    most_per_second = min(scenario.in_flight / wait if wait else math.inf, scenario.rate or math.inf)
    ideal = max(rows / most_per_second, scenario.head_seconds or 0.0, wait)
    figures = {
        "start_seconds": max(0.0, run["seen_first_arrival"] - run["started"]),
        "server_cpu_share": run["seen_cpu_seconds"] / span,
        "achieved_of_ideal": ideal / span,
    }
    if run["seen_steady_per_second"]:
        figures["steady_of_ideal"] = run["seen_steady_per_second"] / most_per_second
    if scenario.rate:
        sending = max(1e-9, run["seen_last_arrival"] - run["seen_first_arrival"])
        figures["attained"] = (run["seen_requests"] - run["seen_refused"] - 1) / sending / scenario.rate
    return figures


def summarise(runs: Sequence[Mapping[str, float]]) -> dict[str, Figure]:
    """Every figure over the runs of one subject."""
    names = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: figure([run[name] for run in runs]) for name in names}


def paired_ratio(name: str, ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> Figure | None:
    """Ours ÷ theirs, round by round, so that what slows the machine for a while slows both."""
    ratios = [mine[name] / other[name] for mine, other in zip(ours, theirs, strict=False) if other.get(name)]
    return figure(ratios) if ratios else None

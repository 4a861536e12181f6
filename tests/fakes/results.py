"""Results as the harness writes them, made of runs that a test names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from benchmarks.harness import digest
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Runs = Mapping[str, Sequence[Mapping[str, float]]]  # by subject

CONDITIONS = {
    "cpu": "a processor", "cores": 2, "memory_gb": 8, "system": "a system", "python": "CPython 3", "date": "today", "revision": "abc",
    "load": (0.5, 0, 0), "load_at_end": (1.5, 0, 0), "versions": {"trio": "0.30"}, "runs": 2,
}  # fmt: skip


def run(**figures: float) -> dict[str, float]:
    """One run's figures: good ones but for those that are named."""
    usual = {
        "rows": 100.0, "right": 100.0, "misplaced": 0.0, "lost": 0.0, "rows_per_second": 1_000.0, "cpu_us_per_row": 100.0,
        "peak_rss_mb": 50.0, "refused": 0.0, "most_in_a_second": 10.0, "achieved_of_ideal": 0.9, "steady_of_ideal": 0.95,
        "start_seconds": 0.3, "server_cpu_share": 0.25, "sending_cpu_us_per_row": 80.0, "attained": 0.99,
    }  # fmt: skip
    return usual | figures


def result(**scenarios: Runs) -> dict[str, Any]:
    """Scenarios by name, with _ for -."""
    measured = {}
    for name, runs in scenarios.items():
        scenario = SCENARIOS[name.replace("_", "-")]
        kept = {subject: [dict(one) for one in ones] for subject, ones in runs.items()}
        measured[scenario.name] = {"settings": asdict(scenario), "skipped": {}, "subjects": {who: digest(who, kept) for who in kept}}
    return {"conditions": CONDITIONS, "scenarios": measured}

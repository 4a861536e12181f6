"""Plots of a result as SVG, by matplotlib. Nothing is computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OURS, THEIRS = "#0b6e99", "#b8c4cc"


def draw(measured: dict[str, Any], folder: Path) -> list[str]:
    """All plots that the result has figures for; their file names."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "headrace"  # the same result draws the same file
    mpl.rcParams["svg.fonttype"] = "none"
    plots: list[tuple[str, Callable[[dict[str, Any], Path], bool]]] = [
        ("cpu-per-row.svg", draw_cpu),
        ("achieved.svg", draw_achieved),
        ("growth.svg", draw_growth),
    ]
    return [name for name, plot in plots if plot(measured["scenarios"], folder / name)]


def draw_cpu(scenarios: dict[str, Any], path: Path) -> bool:
    """CPU per row of everybody at 50 and 1,000 in flight, on a logarithmic scale."""
    from matplotlib import pyplot as plt

    chosen = [scenarios[name] for name in ("in-flight-50", "in-flight-1000") if name in scenarios]
    if not chosen:
        return False
    figure, axes = plt.subplots(1, len(chosen), figsize=(6.5 * len(chosen), 4.5), squeeze=False, layout="constrained")
    for axis, scenario in zip(axes[0], chosen, strict=True):
        subjects = scenario["subjects"]
        names = sorted(subjects, key=lambda name: -median_of(subjects[name], "cpu_us_per_row"))
        values = [median_of(subjects[name], "cpu_us_per_row") for name in names]
        bars = axis.barh([SUBJECTS[name].title for name in names], values, color=[OURS if name == "headrace" else THEIRS for name in names])
        axis.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
        axis.set(xscale="log", title=scenario["settings"]["title"], xlabel="client CPU per row, µs (logarithmic)")
        axis.margins(x=0.15)
        axis.tick_params(labelsize=8)
    save(figure, path)
    return True


def draw_achieved(scenarios: dict[str, Any], path: Path) -> bool:
    """Achieved ÷ ideal over what is in flight."""
    from matplotlib import pyplot as plt

    chosen = [scenarios[name] for name in ("in-flight-1000", "in-flight-5000", "in-flight-10000") if name in scenarios]
    if len(chosen) < 2:
        return False
    figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for name in chosen[-1]["subjects"]:
        points = [
            (scenario["settings"]["in_flight"], median_of(scenario["subjects"][name], "achieved_of_ideal"))
            for scenario in chosen
            if name in scenario["subjects"]
        ]
        axis.plot(*zip(*points, strict=True), marker="o", label=SUBJECTS[name].title, color=OURS if name == "headrace" else None)
    axis.set(xlabel="requests in flight", ylabel="achieved ÷ ideal, ramp included", ylim=(0, 1.05))
    axis.legend(fontsize=8)
    save(figure, path)
    return True


def draw_growth(scenarios: dict[str, Any], path: Path) -> bool:
    """CPU per row and peak memory as rows grow."""
    from matplotlib import pyplot as plt

    chosen = [scenario for scenario in scenarios.values() if scenario["settings"]["family"] == "growth"]
    if len(chosen) < 2:
        return False
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, key, label in zip(axes, ("cpu_us_per_row", "peak_rss_mb"), ("client CPU per row, µs", "peak RSS, MB"), strict=True):
        for name in chosen[0]["subjects"]:
            points = [
                (scenario["settings"]["rows"], median_of(scenario["subjects"][name], key))
                for scenario in chosen
                if name in scenario["subjects"]
            ]
            axis.plot(*zip(*points, strict=True), marker="o", label=SUBJECTS[name].title, color=OURS if name == "headrace" else None)
        axis.set(xscale="log", xlabel="rows", ylabel=label)
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=8)
    save(figure, path)
    return True


def median_of(subject: dict[str, Any], key: str) -> float:
    """A figure's median."""
    value: float = subject["figures"][key]["median"]
    return value


def save(figure: Any, path: Path) -> None:
    """Without a date, so that the file changes only with the figures."""
    from matplotlib import pyplot as plt

    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)

"""Plots of a result as SVG, by matplotlib. Nothing is computed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

OURS, THEIRS = "#0b6e99", "#b8c4cc"
IN_FLIGHT = ("in-flight-50", "in-flight-1000", "in-flight-5000", "in-flight-10000")


def draw(measured: dict[str, Any], folder: Path) -> list[str]:
    """All plots that the result has figures for; their file names."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "headrace"  # the same result draws the same file
    mpl.rcParams["svg.fonttype"] = "none"
    plots: list[tuple[str, Callable[[dict[str, Any], Path], bool]]] = [
        ("cpu-per-row.svg", draw_cpu),
        ("cpu-in-flight.svg", draw_in_flight),
        ("achieved.svg", draw_achieved),
        ("growth.svg", draw_growth),
        ("attainment.svg", draw_attainment),
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


def draw_in_flight(scenarios: dict[str, Any], path: Path) -> bool:
    """CPU per row over what is in flight."""
    from matplotlib import pyplot as plt

    chosen = [scenarios[name] for name in IN_FLIGHT if name in scenarios]
    if len(chosen) < 2:
        return False
    figure, axis = plt.subplots(figsize=(6.5, 4), layout="constrained")
    draw_lines(axis, chosen, "in_flight", "cpu_us_per_row")
    axis.set(xscale="log", yscale="log", xlabel="requests in flight", ylabel="client CPU per row, µs (logarithmic)")
    save(figure, path)
    return True


def draw_achieved(scenarios: dict[str, Any], path: Path) -> bool:
    """Achieved ÷ ideal over what is in flight, with the ramp and without."""
    from matplotlib import pyplot as plt

    chosen = [scenarios[name] for name in IN_FLIGHT[1:] if name in scenarios]
    if len(chosen) < 2:
        return False
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, key, label in zip(axes, ("achieved_of_ideal", "steady_of_ideal"), ("ramp included", "steady"), strict=True):
        draw_lines(axis, chosen, "in_flight", key)
        axis.set(xlabel="requests in flight", ylabel=f"achieved ÷ ideal, {label}", ylim=(0, 1.1))
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
        draw_lines(axis, chosen, "rows", key)
        axis.set(xscale="log", xlabel="rows", ylabel=label)
        axis.set_ylim(bottom=0)
    save(figure, path)
    return True


def draw_attainment(scenarios: dict[str, Any], path: Path) -> bool:
    """What each attains of a limit, by the way in which the server counts; above the bar how many requests it refused."""
    from matplotlib import pyplot as plt

    chosen = [scenario for scenario in scenarios.values() if scenario["settings"]["family"] == "attainment"]
    if not chosen:
        return False
    figure, axes = plt.subplots(1, len(chosen), figsize=(4.5 * len(chosen), 4), squeeze=False, sharey=True, layout="constrained")
    for axis, scenario in zip(axes[0], chosen, strict=True):
        subjects = scenario["subjects"]
        heights = [median_of(subject, "attained") for subject in subjects.values()]
        bars = axis.bar(list(subjects), heights, color=[OURS if name == "headrace" else THEIRS for name in subjects])
        refused = [f"{median_of(subject, 'refused'):,.0f}" for subject in subjects.values()]
        axis.bar_label(
            bars, [f"{height:.3f}\n{count} × 429" for height, count in zip(heights, refused, strict=True)], padding=3, fontsize=8
        )
        axis.axhline(1.0, color="black", linewidth=0.5)
        axis.set(title=f"{scenario['settings']['window']} window", ylabel="attained ÷ allowed")
        axis.margins(y=0.2)
        axis.tick_params(axis="x", labelsize=8, rotation=20)
    save(figure, path)
    return True


def draw_lines(axis: Any, scenarios: Sequence[dict[str, Any]], across: str, key: str) -> None:
    """A line for every subject that has the figure in two scenarios or more, over one of their settings."""
    for name in dict.fromkeys(name for scenario in scenarios for name in scenario["subjects"]):
        having = [scenario for scenario in scenarios if key in scenario["subjects"].get(name, {"figures": ()})["figures"]]
        if len(having) > 1:
            points = [(scenario["settings"][across], median_of(scenario["subjects"][name], key)) for scenario in having]
            axis.plot(*zip(*points, strict=True), marker="o", label=SUBJECTS[name].title, color=OURS if name == "headrace" else None)
    if axis.lines:
        axis.legend(fontsize=8)


def median_of(subject: dict[str, Any], key: str) -> float:
    """A figure's median."""
    value: float = subject["figures"][key]["median"]
    return value


def save(figure: Any, path: Path) -> None:
    """Without a date, so that the file changes only with the figures."""
    from matplotlib import pyplot as plt

    figure.savefig(path, format="svg", metadata={"Date": None})
    plt.close(figure)

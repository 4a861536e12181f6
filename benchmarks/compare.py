"""What changed between two results: pure, dictionaries in, lines out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WATCHED = ("cpu_us_per_row", "rows_per_second", "peak_rss_mb", "achieved_of_ideal", "start_seconds", "attained", "right")


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """A line for every figure that both results have. A change within the two spreads is marked as noise."""
    for key in ("cpu", "python"):
        if before["conditions"][key] != after["conditions"][key]:
            yield f"! {key} differs: {before['conditions'][key]} → {after['conditions'][key]}; only ratios can be compared"
    for scenario in before["scenarios"]:
        if scenario not in after["scenarios"]:
            continue
        ours, theirs = before["scenarios"][scenario]["subjects"], after["scenarios"][scenario]["subjects"]
        for subject in ours:
            if subject in theirs:
                yield from changed_figures(f"{scenario:<16} {subject:<18}", ours[subject], theirs[subject])


def changed_figures(label: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """One subject's lines; headrace's ratio to it at last."""
    for name in WATCHED:
        if name in before["figures"] and name in after["figures"]:
            yield f"{label} {name:<18} {change(before['figures'][name], after['figures'][name])}"
    if before["headrace_cpu_ratio"] and after["headrace_cpu_ratio"]:
        yield f"{label} {'headrace CPU ÷ it':<18} {change(before['headrace_cpu_ratio'], after['headrace_cpu_ratio'])}"


def change(before: dict[str, float], after: dict[str, float]) -> str:
    """`old → new  +x %`, or that nothing can be said."""
    old, new = before["median"], after["median"]
    if old == 0:
        return f"{old:,.3f} → {new:,.3f}"
    share = new / old - 1
    verdict = "" if abs(share) > before["spread"] + after["spread"] else "  (within the spread)"
    return f"{old:>12,.3f} → {new:>12,.3f}  {share:+7.1%}{verdict}"

"""The published table: a result's JSON in, Markdown out. Pure.

A figure whose runs spread by more than 10 % carries a ~.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.figures import NOISY
from benchmarks.scenarios import REFERENCE
from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HEADS = (
    "",
    "rows",
    "CPU µs/row",
    "÷ aiohttp loop",
    "sending only",
    "rows/s",
    "achieved ÷ ideal",
    "steady",
    "peak RSS MB",
    "start s",
    "right",
    "lost",
)
METHOD = """\
Medians of {runs} interleaved runs after one that was dropped; ~ marks a spread (half the range ÷ median) above {noisy:.0%}. Client and
server are processes of their own, on a core each. CPU is user and system time of the whole process, its start included; a peer's is
read when its last answer is in hand, headrace's when its process has ended, files and all. *Sending only* leaves out imports, reading
and preparing (the bytes or requests of a transport alone); in brackets its ratio to the reference's. Ratios are taken round by round.
*Achieved ÷ ideal* has the ramp in it, *steady* begins after two waves. A peer that needs a hundred times the CPU of the others gets
fewer rows; its start then weighs more in its CPU per row, so read the column *start* with it. Where a peer is better than headrace, its
figure is in **bold**."""
LIMIT_HEADS = ("", "rows", "attained ÷ allowed", "429s", "most in a second", "CPU µs/row", "rows/s", "right", "lost")


def markdown(measured: dict[str, Any], plots: Sequence[str], source: str) -> str:
    """The whole page. plots: file names beside it. source: name of the JSON file."""
    parts = ["# Benchmark results", preface(measured["conditions"], source)]
    parts += [f"![{name.removesuffix('.svg')}]({name})" for name in plots]
    parts += [section(scenario) for scenario in measured["scenarios"].values()]
    return "\n\n".join(parts) + "\n"


def preface(conditions: dict[str, Any], source: str) -> str:
    """How it was measured, and under what conditions."""
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    loads = " → ".join(f"{load[0]:.2f}" for load in (conditions["load"], conditions["load_at_end"]))
    machine = f"{conditions['cpu']}, {conditions['cores']} cores, {conditions['memory_gb']} GB, {conditions['system']}"
    when = f"{conditions['date']}, revision {conditions['revision'] or 'unknown'}, load {loads}"
    return (
        f"{machine}, {conditions['python']}, {when}. {versions}. All runs are in `{source}`.\n\n{METHOD.format(**conditions, noisy=NOISY)}"
    )


def section(scenario: dict[str, Any]) -> str:
    """One scenario's table and what was skipped."""
    settings, subjects = scenario["settings"], scenario["subjects"]
    limited = settings["limit"] is not None or settings["faults"] is not None
    heads = LIMIT_HEADS if limited else HEADS
    rows = [limit_cells(name, subjects) if limited else cells(name, subjects) for name in subjects]
    lines = [f"## {settings['title']}", "", *table(heads, rows), "", server_line(subjects)]
    lines += [f"Left out: {SUBJECTS[name].title} ({why})." for name, why in scenario["skipped"].items()]
    return "\n".join(lines)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first to the right."""
    return [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def cells(name: str, subjects: dict[str, Any]) -> list[str]:
    """A subject's row of figures."""
    ratio = subjects[name]["cpu_ratio_to_reference"]
    return [
        SUBJECTS[name].title,
        shown(name, subjects, "rows", "{:,.0f}"),
        shown(name, subjects, "cpu_us_per_row", "{:,.1f}", better=min),
        "1" if name == REFERENCE else figure_text(ratio, "{:.3f}") if ratio else "–",
        sending(name, subjects),
        shown(name, subjects, "rows_per_second", "{:,.0f}", better=max),
        shown(name, subjects, "achieved_of_ideal", "{:.3f}", better=max),
        shown(name, subjects, "steady_of_ideal", "{:.3f}", better=max),
        shown(name, subjects, "peak_rss_mb", "{:,.0f}", better=min),
        shown(name, subjects, "start_seconds", "{:.2f}", better=min),
        shown(name, subjects, "right", "{:,.0f}"),
        shown(name, subjects, "lost", "{:,.0f}", better=min),
    ]


def sending(name: str, subjects: dict[str, Any]) -> str:
    """The cost of sending alone, where a program says it."""
    text, ratio = shown(name, subjects, "sending_cpu_us_per_row", "{:,.1f}"), subjects[name]["sending_ratio_to_reference"]
    return f"{text} ({figure_text(ratio, '{:.2f}')})" if ratio else text


def limit_cells(name: str, subjects: dict[str, Any]) -> list[str]:
    """The same where the server limits or fails."""
    return [
        SUBJECTS[name].title,
        shown(name, subjects, "rows", "{:,.0f}"),
        shown(name, subjects, "attained", "{:.4f}", better=max),
        shown(name, subjects, "refused", "{:,.0f}", better=min),
        shown(name, subjects, "most_in_a_second", "{:,.0f}"),
        shown(name, subjects, "cpu_us_per_row", "{:,.1f}", better=min),
        shown(name, subjects, "rows_per_second", "{:,.0f}", better=max),
        shown(name, subjects, "right", "{:,.0f}", better=max),
        shown(name, subjects, "lost", "{:,.0f}", better=min),
    ]


def shown(name: str, subjects: dict[str, Any], key: str, form: str, better: Any = None) -> str:
    """A figure as text; bold where it beats headrace's."""
    figures = subjects[name]["figures"]
    if key not in figures:
        return "–"
    text = figure_text(figures[key], form)
    ours = subjects.get("headrace", {}).get("figures", {}).get(key)
    if better is None or ours is None or name == "headrace":
        return text
    theirs = figures[key]["median"]
    wins = theirs != ours["median"] and better(theirs, ours["median"]) == theirs
    return f"**{text}**" if wins else text


def figure_text(figure: dict[str, float], form: str) -> str:
    """The median, with a ~ if the runs disagree."""
    return form.format(figure["median"]) + ("~" if figure["spread"] > NOISY else "")


def server_line(subjects: dict[str, Any]) -> str:
    """How busy the server was at most: above 0.9 of its core it would be the bottleneck."""
    shares = [subject["figures"]["server_cpu_share"]["median"] for subject in subjects.values() if "server_cpu_share" in subject["figures"]]
    return f"The server's core was busy to {max(shares):.0%} at most." if shares else ""

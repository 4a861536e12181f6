"""The published page: a result's JSON in, Markdown out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.bars import Bar, Standing, quotient, standings, values
from benchmarks.figures import NOISY
from benchmarks.subjects import SUBJECTS
from benchmarks.tables import GROWTH, LIMITED, STAGES, THROUGHPUT, UNKNOWN, Column, Figures, cells, figures_of, filled, table, winners

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.figures import Figure

BUSY = 0.9  # of its core: above, the server may be what was measured
BASE = "rows-10000"  # what the figures of the family `growth` are held against
METHOD = """\
Medians of interleaved runs, as many as each section says, after one that was dropped; *spread* is half the range ÷ median, of the CPU per
row, and a ~ marks any figure whose runs spread by more than {noisy:.0%}. Client and server are processes of their own, on a core each;
*server's CPU* is how busy its core was. CPU is user and system time of the whole process, its start included, and everything starts from
bytecode; a peer's is read when its last answer is in hand (and in its file, where it writes one), headrace's when its process has ended.
There are two references, and each ratio names the one it is taken to: *aiohttp gather* makes a task for each row, keeps the answers in a
list and writes them at the end; *aiohttp workers* go from file to file. The load generators send one request over and over and read
nothing of an answer, so they are a floor. *Sending only* leaves out imports, reading and preparing (the bytes or requests of a transport
alone). Ratios are taken round by round, but for those between scenarios. *Achieved ÷ ideal* has the ramp in it, *steady* begins after two
waves. A peer that needs a hundred times the CPU of the others gets fewer rows; its start then weighs more in its CPU per row, so read the
columns *sending only* and *start* with it. Where a peer is better than headrace, its figure is in **bold**, and the line below the table
names it."""


def markdown(
    measured: dict[str, Any], plots: Sequence[str], source: str, soaked: dict[str, Any] | None = None, *, whole: bool = True
) -> str:
    """The page. plots: file names beside it. source: name of the JSON file. soaked: what `benchmarks.soak` has written.

    whole: bars that were not measured are named too.
    """
    parts = ["# Benchmark results", preface(measured["conditions"], source), bars(measured, whole=whole)]
    parts += [f"![{name.removesuffix('.svg')}]({name})" for name in plots]
    parts += sections(measured["scenarios"])
    parts += [soak(soaked)] if soaked else []
    return "\n\n".join(part for part in parts if part) + "\n"


def preface(conditions: dict[str, Any], source: str) -> str:
    """How it was measured, and under what conditions."""
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    loads = " → ".join(f"{load[0]:.2f}" for load in (conditions["load"], conditions["load_at_end"]))
    machine = f"{conditions['cpu']}, {conditions['cores']} cores, {conditions['memory_gb']} GB, {conditions['system']}"
    python = f"{conditions['python']} ({build_of(conditions)})"
    when = f"{conditions['date']}, revision {conditions['revision'] or 'unknown'}, load {loads}"
    return f"{machine}, {python}, {when}. {versions}. All runs are in `{source}`.\n\n{shared(conditions)}{METHOD.format(noisy=NOISY)}"


def shared(conditions: dict[str, Any]) -> str:
    """A warning where other programs ran beside; "" on a quiet machine."""
    load = max(conditions["load"][0], conditions["load_at_end"][0])
    if load < conditions["cores"]:
        return ""
    return (
        f"**The machine was shared: a load of up to {load:.0f} on {conditions['cores']} cores.** Every figure is higher than on a quiet"
        " machine, and most of all those of programs that do little besides system calls.\n\n"
    )


def build_of(conditions: dict[str, Any]) -> str:
    """How Python was compiled; older results do not say."""
    return str(conditions.get("build", "build not noted"))


def bars(measured: dict[str, Any], *, whole: bool = True) -> str:
    """What headrace is held to, and where it stands; "" if the result says nothing of it."""
    found = list(standings(measured))
    if all(figure is None for _, figure in found):
        return ""
    heads = ("", "measured", "spread", "bar", "goal", "met")
    lines = table(heads, [bar_cells(bar, figure) for bar, figure in found if whole or figure is not None])
    return "\n".join(
        ["## What it is held to", "", *lines, "", "By the medians: what is nearer to its bar than its spread may lie on either side."]
    )


def bar_cells(bar: Bar, measured: Figure | None) -> list[str]:
    """A bar's row."""
    sign = "≥" if bar.at_least else "≤"
    standing = bar.standing(measured)
    met = f"**{standing.value}**" if standing is Standing.MISSED else standing.value
    shown = "–" if measured is None else f"{measured.median:.3g}" + "~" * measured.noisy
    return [bar.name, shown, "–" if measured is None else f"{measured.spread:.0%}", f"{sign} {bar.bar:g}", f"{sign} {bar.goal:g}", met]


def sections(scenarios: Mapping[str, Any]) -> Iterator[str]:
    """A section for every scenario, and one for all of the family that grows."""
    growing = {name: scenario for name, scenario in scenarios.items() if scenario["settings"]["family"] == "growth"}
    for name, scenario in scenarios.items():
        if name not in growing:
            yield section(scenario)
        elif name == next(iter(growing)):
            yield growth(growing)


def section(scenario: dict[str, Any]) -> str:
    """One scenario's table, in what a peer is better, and what was left out."""
    columns = columns_of(scenario["settings"])
    subjects = {name: figures_of(subject) for name, subject in scenario["subjects"].items()}
    load = f"{load_of(scenario['settings'])} {runs_of([scenario])}"
    lines = [f"## {scenario['settings']['title']}", load, *table_of(columns, subjects, scenario)]
    return "\n\n".join(line for line in lines if line)


def columns_of(settings: dict[str, Any]) -> tuple[Column, ...]:
    """What is shown of a scenario."""
    if settings["family"] == "stages":
        return STAGES
    if settings["family"] == "unknown-limit":
        return UNKNOWN
    return LIMITED if settings["rate"] is not None or settings["simulate"] is not None else THROUGHPUT


def load_of(settings: dict[str, Any]) -> str:
    """The load in a line."""
    latency = f"latency {latency_of(settings)}"
    load = [f"{settings['in_flight']:,} in flight", *([latency] if settings["family"] != "stages" else [])]
    if settings["head_seconds"] is not None:
        load.append(f"{settings['head_seconds']:g} s for the first row")
    if settings["rate"] is not None:
        load.append(f"client's limit {settings['rate']:,.0f}/s")
    if settings["events"]:
        apart = f", {settings['event_seconds'] * 1000:g} ms apart" if settings["event_seconds"] else ""
        load.append(f"{settings['events']} events an answer{apart}")
    if settings["prompt_bytes"]:
        load.append(f"prompts of {settings['prompt_bytes']:,} and answers of {settings['answer_bytes']:,} bytes")
    if settings["limit"] is not None:
        load.append(f"server's limit {settings['limit']:,}/s, {settings['window']} window")
    return "Load: " + ", ".join([*load, *(["TLS"] if settings["tls"] else [])]) + "."


def latency_of(settings: dict[str, Any]) -> str:
    """How long an answer takes: on the fast server by its own notation, on the embedded provider by its config."""
    if settings["simulate"] is None:
        return f"`{settings['latency']}`"
    simulated = settings["simulate"].get("latency", {"median_seconds": 0.02})
    return f"{simulated['median_seconds'] * 1000:g} ms in the median"


def runs_of(scenarios: Iterable[Mapping[str, Any]]) -> str:
    """How many runs there were."""
    counts = {len(subject["runs"]) for scenario in scenarios for subject in scenario["subjects"].values()}
    least, most = min(counts, default=0), max(counts, default=0)
    return f"{most} run{'s' * (most != 1)}." if least == most else f"{least} to {most} runs."


def soak(soaked: dict[str, Any]) -> str:
    """A long run with faults: what it did, and what grew from its first quarter to its last."""
    done = (
        f"{soaked['total']:,} rows at {soaked['rate']:,}/s for {soaked['duration_seconds']:,.0f} s (revision"
        f" {soaked['conditions']['revision']}): {soaked['succeeded']:,} succeeded, {soaked['failed']:,} failed, with"
        f" {soaked['attempts']:,} attempts, {soaked['retries']:,} of them retries. The most in the first quarter and in the last:"
    )
    rows = [[name, f"{grown['early']:g}", f"{grown['late']:g}", f"{grown['ratio']:.3f}"] for name, grown in soaked["growth"].items()]
    return "\n".join(["## Soak", "", done, "", *table(("", "early", "late", "ratio"), rows)])


def table_of(columns: Sequence[Column], subjects: Mapping[str, Figures], scenario: dict[str, Any]) -> list[str]:
    """A table and the lines below it."""
    return ["\n".join(filled(columns, subjects)), winners(columns, subjects), busy(subjects), left_out(scenario)]


def growth(scenarios: Mapping[str, Any]) -> str:
    """One table for the same load with ever more rows; each figure also against that at 10⁴ rows."""
    by_size = {name: {who: grown(scenarios, name, who) for who in scenario["subjects"]} for name, scenario in scenarios.items()}
    everybody = dict.fromkeys(who for subjects in by_size.values() for who in subjects)
    rows = [cells(who, GROWTH, subjects) for who in everybody for subjects in by_size.values() if who in subjects]
    heads = ["", *(column.head for column in GROWTH)]
    load = f"{load_of(next(iter(scenarios.values()))['settings'])} {runs_of(scenarios.values())}"
    lines = ["## The same load with ever more rows", load, "\n".join(table(heads, rows))]
    for name, subjects in by_size.items():
        said = [line for line in (winners(GROWTH, subjects), busy(subjects), left_out(scenarios[name])) if line]
        lines.append(f"{scenarios[name]['settings']['rows']:,} rows: {' '.join(said)}" if said else "")
    return "\n\n".join(line for line in lines if line)


def grown(scenarios: Mapping[str, Any], name: str, who: str) -> Figures:
    """A subject's figures with their ratios to those of fewer rows."""
    figures = figures_of(scenarios[name]["subjects"][who])
    for ratio, of in (("cpu_ratio_to_base", "cpu_us_per_row"), ("rss_ratio_to_base", "peak_rss_mb")):
        found = quotient(values(scenarios, name, who, of), values(scenarios, BASE, who, of))
        if found is not None:
            figures[ratio] = {"median": found.median, "spread": found.spread}
    return figures


def busy(subjects: Mapping[str, Figures]) -> str:
    """A warning where the server had no room left."""
    shares = [figures["server_cpu_share"]["median"] for figures in subjects.values() if "server_cpu_share" in figures]
    return f"The server's core was busy to {max(shares):.0%}: it may be what was measured." if max(shares, default=0.0) > BUSY else ""


def left_out(scenario: dict[str, Any]) -> str:
    """Who was not measured, and why."""
    return "\n".join(f"Left out: {SUBJECTS[name].title} ({why})." for name, why in scenario["skipped"].items())

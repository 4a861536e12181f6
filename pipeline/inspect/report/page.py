"""Puts a report together as one HTML file that fetches nothing and runs only its own two scripts.

Safety: whatever comes from the run (prompts' ids, messages, addresses, the config) is escaped text, in the JSON block as well. The
page's policy allows no request, and no script but the two whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.output.words import title
from pipeline.inspect.report.tables import Texts, failed_table, lanes_html, percentiles_html, slow_table
from pipeline.version import VERSION

if TYPE_CHECKING:
    from pipeline.inspect.report.findings import Findings
    from pipeline.inspect.report.gathered import Gathered
    from pipeline.inspect.report.plots import Plot
    from pipeline.inspect.report.tables import Table
    from pipeline.inspect.report.timeline import Timeline

ASSETS = Path(__file__).with_name("assets")
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M1 11h4l2-7 3 9 2-5h3' fill='none' "
    "stroke='%230b62c4' stroke-width='2'/%3E%3C/svg%3E"
)
HOW_TO_LOOK = "Drag across a plot to look closer; every plot follows. Click a name to hide it. With the keyboard: arrows, + and −, Esc."
TWO_TIMES = (
    "One attempt is the provider's time. A row's time is what you waited: from its turn to leave to its answer, with retries and waits."
)
WITHOUT_SCRIPTS = (
    "<noscript><p class=sub>The plots need scripts, which this viewer does not run. The figures and tables on this page are complete "
    "without them.</p></noscript>"
)
KEYS = "Arrow keys move through the values, plus and minus zoom, escape shows all."


class Report(Struct, frozen=True):
    """All parts of a page. config: its text. facts: names and values about the run. failed_more: of failed rows beyond those listed."""

    title: str
    findings: Findings
    gathered: Gathered
    timeline: Timeline
    limits: dict[str, float | None]
    plots: list[Plot]
    config: str
    facts: list[tuple[str, str]]
    output: str


def page_of(report: Report) -> str:
    """The whole page."""
    library, script = _asset("uPlot.iife.min.js"), _asset("report.js")
    style = _asset("uPlot.min.css") + _asset("report.css")
    texts, tables = Texts(), {"failed": failed_table(report.gathered), "slow": slow_table(report.gathered)}
    data = {
        "times": report.timeline.times,
        "marks": report.timeline.marks,
        "plots": {each.key: each.data() for plot in report.plots for each in (plot, plot.instead) if each is not None},
        "tables": {name: table.data(texts) for name, table in tables.items()},
        "texts": list(texts.known),
    }
    block = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    policy = (
        f"default-src 'none'; script-src {_hash(library)} {_hash(script)}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta http-equiv=Content-Security-Policy content="{policy}">'
        '<meta name=viewport content="width=device-width, initial-scale=1"><meta name=referrer content=no-referrer>'
        f"<title>headrace report: {escape(report.title)}</title>"
        f'<link rel=icon href="{ICON}"><style>{style}</style><noscript><style>.grid,.bar,.pager,#theme{{display:none!important}}</style>'
        "</noscript></head>"
    )
    scripts = f'<script type="application/json" id=data>{block}</script><script>{library}</script><script>{script}</script>'
    return f"{head}\n<body>{_top(report)}{_main(report, tables)}{_foot()}{scripts}</body></html>\n"


def _top(report: Report) -> str:
    themes = "".join(
        f'<button type=button data-theme="{name}" aria-pressed={"false" if name else "true"}>{name.title() or "Auto"}</button>'
        for name in ("", "light", "dark")
    )
    return (
        '<a class=skip href="#main">Skip to the report</a><header><div><strong>headrace report</strong>'
        f"<span>{escape(report.title)}</span><span>{escape(report.facts[0][1])}</span>"
        "<button type=button id=reset hidden>Show the whole run</button>"
        f'<div class="seg push" id=theme role=group aria-label="Colours">{themes}</div></div></header>'
    )


def _main(report: Report, tables: dict[str, Table]) -> str:
    found, timeline = report.findings, report.timeline
    lead = "".join(f"<b>{escape(text)}</b>" if stressed else escape(text) for text, stressed in found.lead)
    answers = "".join(
        f"<div><dt>{each.question}</dt><dd>{escape(each.answer)}</dd><dd>{escape(each.more)}</dd></div>" for each in found.answers
    )
    lanes = _scroll("Lanes", lanes_html(timeline, report.gathered, report.limits))
    percentiles = _scroll("Latency percentiles", percentiles_html(timeline))
    sections = [
        ("limits", "Was it limited, and by what?", HOW_TO_LOOK, lanes),
        ("time", "How long did it take?", TWO_TIMES, percentiles),
        ("cost", "What did it cost?", "Tokens as the provider counted them, at the prices in the config.", ""),
        ("wrong", "What went wrong?", _wrong(report), ""),
    ]
    first = f"<main id=main><h1>{escape(found.headline)}</h1><p class=lead>{lead}</p><dl class=answers>{answers}</dl>"
    parts = [first, _todo(report), WITHOUT_SCRIPTS]
    for key, heading, below, table in sections:
        plots = "".join(_figure(plot) for plot in report.plots if plot.section == key)
        if plots or key == "wrong":
            parts.append(f"<h2>{heading}</h2><p class=sub>{below}</p>{table}<div class=grid>{plots}</div>")
    parts.append(_searchable("failed", "Failed rows", tables["failed"], report.gathered.failures) + _beyond(report))
    parts.append(_searchable("slow", "Slowest rows", tables["slow"], {}))
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts)
    parts.append(
        "<h2>Config and environment</h2><p class=sub>What this run was asked to do. No key is in this file.</p><div class=two>"
        f'<pre tabindex=0 role=region aria-label="Config">{escape(report.config)}</pre><dl class=env>{facts}</dl></div></main>'
    )
    return "".join(parts)


def _todo(report: Report) -> str:
    if not report.findings.todo:
        return ""
    items = "".join(
        f"<li><span>{escape(each.text)}</span>{f'<code>{escape(each.command)}</code>' if each.command else ''}</li>"
        for each in report.findings.todo
    )
    return f"<section class=todo aria-labelledby=todo><h2 id=todo>What to do next</h2><ul>{items}</ul></section>"


def _wrong(report: Report) -> str:
    failed = sum(report.gathered.failures.values())
    if not failed and not any(plot.section == "wrong" for plot in report.plots):
        return "Nothing."
    return f"{failed:,} rows failed. An attempt that was made again costs time, not a row."


def _beyond(report: Report) -> str:
    more = sum(report.gathered.failures.values()) - len(report.gathered.failed)
    if more <= 0:
        return ""
    listing = f"jq -c 'select(.error != null or .response.status_code >= 400)' {report.output}"
    return f"<p class=sub>{more:,} more failed rows are not listed here: <code>{escape(listing)}</code></p>"


def _figure(plot: Plot) -> str:
    switch = ""
    if plot.instead is not None:
        switch = (
            '<div class=seg id=latency-switch role=group aria-label="Latency of">'
            f"<button type=button data-use={plot.key} aria-pressed=true>one attempt</button>"
            f"<button type=button data-use={plot.instead.key} aria-pressed=false>row, waits included</button></div>"
        )
    heading = escape(plot.heading)
    return (
        f'<figure class="{"wide" if plot.wide else ""}"><figcaption class=cap><div><h3 id="h-{plot.key}">{heading}</h3>'
        f"<p>{escape(plot.below)}</p></div>{switch}</figcaption>"
        f'<div class=plot data-plot="{plot.key}" role=group aria-roledescription=chart tabindex=0 aria-labelledby="h-{plot.key}" '
        f'aria-description="{KEYS}"></div><details><summary>Values as a table</summary>'
        f'<div class=scroll tabindex=0 role=region aria-label="Values of: {heading}"></div></details></figure>'
    )


def _searchable(key: str, heading: str, table: Table, kinds: dict[str, int]) -> str:
    if not table.rows:
        return ""
    label = heading.lower()
    options = "".join(f'<option value="{escape(title(code))}">{escape(title(code))} ({count:,})</option>' for code, count in kinds.items())
    chosen = f'<select aria-label="Kind of failure"><option value="">every kind</option>{options}</select>' if kinds else ""
    return (
        f'<h3 class=table>{heading}</h3><div class=tablebox data-table={key}><div class=bar><input type=search placeholder="Search" '
        f'aria-label="Search {label}">{chosen}<span class=n aria-live=polite></span></div>'
        f'<div class=scroll tabindex=0 role=region aria-label="{heading}"><table class=data><thead>{table.head()}</thead>'
        f"<tbody>{table.body()}</tbody></table></div>"
        "<div class=pager><button type=button>Previous</button><button type=button>Next</button><span></span></div></div>"
    )


def _scroll(label: str, rows: str) -> str:
    return f'<div class="tablebox scroll above" tabindex=0 role=region aria-label="{label}"><table class=data>{rows}</table></div>'


def _foot() -> str:
    return (
        f"<footer><div>Written by headrace {VERSION} from the journal of the run. One file, nothing is fetched. "
        "Plots by uPlot 1.6.32 (MIT).</div></footer><div class=live id=live aria-live=polite></div>"
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

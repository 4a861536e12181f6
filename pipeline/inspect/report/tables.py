"""The tables of a report: failed rows, slowest rows, lanes, percentiles. As data for the script, and as HTML for a page without it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from pipeline.core.bookkeeping.history import LaneBucket, quantile
from pipeline.core.output.words import amount, duration, title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.bookkeeping.history import BINS
    from pipeline.inspect.report.gathered import Gathered
    from pipeline.inspect.report.timeline import Timeline

FIRST_ROWS = 15  # in the page without a script
PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0))


class Column(Struct, frozen=True):
    """right: numbers, on the right. seconds: written as a duration. text: long, and kept once for all rows that have it."""

    name: str
    right: bool = False
    seconds: bool = False
    text: bool = False


class Table(Struct):
    """A table that can be searched and sorted. by: the column it is sorted by; down: the largest first. kind: the column of kinds."""

    columns: list[Column]
    rows: list[list[Any]]
    by: int
    down: bool = False
    kind: int = -1

    def data(self, texts: Texts) -> dict[str, Any]:
        """What the page's script reads."""
        rows = [[texts.number(cell) if column.text else cell for cell, column in zip(row, self.columns, strict=True)] for row in self.rows]
        columns = [{key: value for key, value in _as_dict(column).items() if value} for column in self.columns]
        return {"columns": columns, "rows": rows, "by": self.by, "down": self.down, "kind": self.kind}

    def head(self) -> str:
        """The header cells, each a button that sorts."""
        cells = (
            f'<th scope=col class="{"r" if each.right else ""}"><button type=button>{each.name}</button></th>' for each in self.columns
        )
        return f"<tr>{''.join(cells)}</tr>"

    def body(self) -> str:
        """The first rows."""
        return "".join(f"<tr>{''.join(f'<td>{escape(_shown(cell))}</td>' for cell in row)}</tr>" for row in self.rows[:FIRST_ROWS])


class Texts(Struct):
    """Texts that several rows have, each once."""

    known: dict[str, int] = field(default_factory=dict)

    def number(self, text: str) -> int:
        """The number of a text."""
        return self.known.setdefault(text, len(self.known))


def failed_table(gathered: Gathered) -> Table:
    """The failed rows, as far as they are listed."""
    columns = [Column("row", right=True), Column("custom_id"), Column("kind"), Column("HTTP", right=True), Column("message", text=True)]
    rows = [[row.index + 1, row.custom_id, title(row.code), row.status, row.message] for row in gathered.failed]
    return Table(columns, rows, 0, kind=2)


def slow_table(gathered: Gathered) -> Table:
    """The rows that took longest, from their turn to their answer."""
    columns = [
        Column("row", right=True),
        Column("custom_id"),
        Column("row time", right=True, seconds=True),
        Column("last attempt", right=True, seconds=True),
        Column("first token", right=True, seconds=True),
        Column("attempts", right=True),
        Column("lane"),
        Column("tokens in", right=True),
        Column("tokens out", right=True),
    ]
    found = sorted((row for history in gathered.sessions for row in history.slow), reverse=True)[:200]
    rows = [
        [row.index + 1, row.custom_id, round(row.seconds, 3), round(row.attempt_seconds, 3),
         None if row.first_token_seconds is None else round(row.first_token_seconds, 3),
         row.attempts, row.lane or None, row.prompt_tokens, row.output_tokens]
        for row in found
    ]  # fmt: skip
    return Table(columns, rows, 2, down=True)


def percentiles_html(timeline: Timeline) -> str:
    """Percentiles of first token, attempt and row."""
    kinds: Sequence[tuple[str, BINS]] = (
        ("first token", timeline.bins(lambda bucket: bucket.first_token)),
        ("one attempt", timeline.bins(lambda bucket: bucket.attempt)),
        ("row, waits included", timeline.bins(lambda bucket: bucket.row)),
    )
    lines = []
    for name, bins in kinds:
        if bins:
            cells = "".join(f"<td class=r>{_time(quantile(bins, share))}</td>" for _, share in PERCENTILES)
            lines.append(f"<tr><th scope=row>{name}</th>{cells}</tr>")
    heads = "".join(f"<th scope=col class=r>{name}</th>" for name, _ in PERCENTILES)
    return f"<thead><tr><th scope=col>latency</th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>"


def lanes_html(timeline: Timeline, gathered: Gathered, limits: dict[str, float | None]) -> str:
    """What each lane did."""
    heads = ("lane", "sent", "answered", "your limit", "found", "HTTP 429", "other errors", "most in flight")
    lines = []
    for name in timeline.lanes:
        lanes = [bucket.lanes.get(name) or LaneBucket() for bucket in timeline.buckets]
        throttled = sum(lane.codes.get("http_429", 0) for lane in lanes)
        errors = sum(sum(lane.codes.values()) for lane in lanes) - throttled
        learned, limit = gathered.state.learned.get(name), limits.get(name)
        found = None if learned is None or learned.requests_per_minute is None else learned.requests_per_minute / 60
        cells = (f"{sum(lane.sent for lane in lanes):,}", f"{sum(lane.answered for lane in lanes):,}", _rate(limit), _rate(found),
                 f"{throttled:,}", f"{errors:,}", f"{max(timeline.flight[name], default=0):,.0f}")  # fmt: skip
        lines.append(f"<tr><th scope=row>{escape(name or '–')}</th>{''.join(f'<td class=r>{cell}</td>' for cell in cells)}</tr>")
    top = "".join(f"<th scope=col{' class=r' if number else ''}>{head}</th>" for number, head in enumerate(heads))
    return f"<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody>"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{amount(value)}/s"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else duration(seconds)


def _shown(cell: object) -> str:
    return "–" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)


def _as_dict(column: Column) -> dict[str, Any]:
    return {"right": column.right, "seconds": column.seconds, "text": column.text}

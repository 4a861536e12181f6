"""The tables of a report: what columns they have and how a figure is written. Pure.

A figure whose runs spread by more than 10 % carries a ~; one in which a peer is better than headrace is bold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from benchmarks.figures import NOISY
from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Figures = dict[str, dict[str, float]]  # by name, each a median and a spread
RATIOS = ("cpu_ratio_to_reference", "cpu_ratio_to_workers", "sending_ratio_to_reference")
OURS = "headrace"


@frozen
class Column:
    """head: what stands above. key: of the figure below. better: min or max, where one is better than another."""

    head: str
    key: str
    form: str
    better: Callable[[float, float], float] | None = None


def nearer_one(one: float, other: float) -> float:
    """What attains more of a limit, and does not overrun it."""
    return min(one, other, key=lambda share: abs(share - 1))


ROWS = Column("rows", "rows", "{:,.0f}")
CPU = Column("CPU µs/row", "cpu_us_per_row", "{:,.1f}", min)
SPREAD = Column("spread", "cpu_spread", "{:.0%}")
TO_REFERENCE = Column("÷ aiohttp gather", "cpu_ratio_to_reference", "{:.3f}")
TO_WORKERS = Column("÷ aiohttp workers", "cpu_ratio_to_workers", "{:.3f}")
SENDING = Column("sending only", "sending_cpu_us_per_row", "{:,.1f}")
SENDING_TO_REFERENCE = Column("÷ aiohttp gather's", "sending_ratio_to_reference", "{:.3f}")
SPEED = Column("rows/s", "rows_per_second", "{:,.0f}", max)
ACHIEVED = Column("achieved ÷ ideal", "achieved_of_ideal", "{:.3f}", max)
STEADY = Column("steady", "steady_of_ideal", "{:.3f}", max)
MEMORY = Column("peak RSS MB", "peak_rss_mb", "{:,.0f}", min)
START = Column("start s", "start_seconds", "{:.2f}", min)
SERVER = Column("server's CPU", "server_cpu_share", "{:.0%}")
RIGHT = Column("right", "right", "{:,.0f}", max)
LOST = Column("lost", "lost", "{:,.0f}", min)

COST = (ROWS, CPU, SPREAD, TO_REFERENCE, TO_WORKERS)
PACE = (SPEED, ACHIEVED, STEADY, MEMORY)
COUNTED = (SERVER, RIGHT, LOST)
THROUGHPUT = (*COST, SENDING, SENDING_TO_REFERENCE, *PACE, START, *COUNTED)
LIMITED = (
    ROWS,
    Column("attained ÷ allowed", "attained", "{:.4f}", nearer_one),
    Column("429s", "refused", "{:,.0f}", min),
    Column("most in a second", "most_in_a_second", "{:,.0f}"),
    *COST[1:],
    SPEED,
    evolve(ACHIEVED, better=nearer_one),
    evolve(STEADY, better=nearer_one),
    MEMORY,
    *COUNTED,
)
UNKNOWN = (
    ROWS,
    Column("attained ÷ allowed", "attained", "{:.3f}", max),
    Column("from 10 s on", "attained_later", "{:.3f}", max),
    Column("wall ÷ ideal", "wall_of_ideal", "{:.2f}", min),
    Column("wall s", "wall_seconds", "{:.1f}", min),
    Column("429s of all requests", "refused_share", "{:.1%}", min),
    Column("requests", "requests", "{:,.0f}"),
    CPU,
    RIGHT,
    LOST,
)
GROWTH = (
    *COST,
    Column("÷ at 10⁴ rows", "cpu_ratio_to_base", "{:.3f}"),
    *PACE,
    Column("÷ at 10⁴ rows", "rss_ratio_to_base", "{:.3f}"),
    *COUNTED,
)
STAGES = (
    ROWS,
    Column("CPU µs/row of the stages", "sending_cpu_us_per_row", "{:,.1f}"),
    Column("spread", "sending_spread", "{:.0%}"),
    Column("of the whole process", "cpu_us_per_row", "{:,.1f}"),
    Column("rows/s of the whole process", "rows_per_second", "{:,.0f}"),
    Column("peak RSS MB", "peak_rss_mb", "{:,.0f}"),
    RIGHT,
    LOST,
)


def figures_of(subject: Mapping[str, Any]) -> Figures:
    """A subject's figures, and what the result keeps beside them: ratios to the reference, the spread of the cost."""
    found: Figures = dict(subject["figures"])
    found |= {key: subject[key] for key in RATIOS if subject.get(key)}
    for name, of in (("cpu_spread", "cpu_us_per_row"), ("sending_spread", "sending_cpu_us_per_row")):
        if of in found:
            found[name] = {"median": found[of]["spread"], "spread": found[of]["spread"]}
    return found


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first to the right."""
    return [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|", *(f"| {' | '.join(row)} |" for row in rows)]


def filled(columns: Sequence[Column], subjects: Mapping[str, Figures]) -> list[str]:
    """The table of one scenario; a column that nobody has a figure for is left out."""
    used = [column for column in columns if any(column.key in figures for figures in subjects.values())]
    return table(["", *(column.head for column in used)], [cells(name, used, subjects) for name in subjects])


def cells(name: str, columns: Sequence[Column], subjects: Mapping[str, Figures]) -> list[str]:
    """A subject's row."""
    texts = [written(column, subjects[name]) for column in columns]
    marks = ["**" if wins(name, column, subjects) else "" for column in columns]
    return [SUBJECTS[name].title, *(f"{mark}{text}{mark}" for mark, text in zip(marks, texts, strict=True))]


def written(column: Column, figures: Figures) -> str:
    """The median, with a ~ if the runs disagree; – for none."""
    if column.key not in figures:
        return "–"
    found = figures[column.key]
    return column.form.format(found["median"]) + ("~" if found["spread"] > NOISY else "")


def wins(name: str, column: Column, subjects: Mapping[str, Figures]) -> bool:
    """Whether a peer's median is better than headrace's."""
    ours, theirs = (subjects.get(who, {}).get(column.key) for who in (OURS, name))
    if column.better is None or ours is None or theirs is None or ours["median"] == theirs["median"]:
        return False
    return column.better(ours["median"], theirs["median"]) == theirs["median"]


def winners(columns: Sequence[Column], subjects: Mapping[str, Figures]) -> str:
    """A line that says in what a peer is better than headrace, and which; "" where headrace was not measured beside others."""
    if OURS not in subjects or len(subjects) < 2:
        return ""
    won = [
        f"{column.head} ({', '.join(winner(name, column, subjects[name]) for name in names)}; headrace {written(column, subjects[OURS])})"
        for column in columns
        if (names := [name for name in subjects if wins(name, column, subjects)])
    ]
    return f"A peer is better in {'; '.join(won)}." if won else "No peer is better in any of these."


def winner(name: str, column: Column, figures: Figures) -> str:
    """A peer's name and figure, and what it paid for it in rows."""
    lost = figures["lost"]["median"]
    return f"`{name}` {written(column, figures)}" + (f" with {lost:,.0f} rows lost" if lost else "")

"""What headrace is held to: a table of bars and goals, and where a result stands against each. Pure.

A bar is what must hold, a goal what is strived for. All are on the client's CPU, on memory or on ratios, so that they mean the
same on another machine; the microseconds of the stages are the exception.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from benchmarks.figures import Figure, figure
from benchmarks.scenarios import REFERENCE, STREAMING, WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CPU, SENDING, RSS = "cpu_us_per_row", "sending_cpu_us_per_row", "peak_rss_mb"
STEADY, ACHIEVED = "steady_of_ideal", "achieved_of_ideal"
LATER = "attained_later"


class Standing(Enum):
    """How a measured figure stands to its bar and its goal."""

    GOAL = "goal"
    BAR = "bar"
    MISSED = "no"
    UNKNOWN = "not measured"


@frozen
class Bar:
    """A figure of one subject in one scenario, and what it must be.

    reference: a subject of the same scenario by whose figure it is divided, round by round; reference_figure: if that is another.
    base: a scenario by whose figure it is divided, the subject being the same. at_least: more is better.
    """

    name: str
    scenario: str
    subject: str
    figure: str
    bar: float
    goal: float
    reference: str | None = None
    reference_figure: str | None = None
    base: str | None = None
    at_least: bool = False

    def standing(self, measured: Figure | None) -> Standing:
        """By the median alone; its spread is for the reader to weigh."""
        if measured is None:
            return Standing.UNKNOWN
        reached = [measured.median >= mark if self.at_least else measured.median <= mark for mark in (self.goal, self.bar)]
        return Standing.GOAL if reached[0] else Standing.BAR if reached[1] else Standing.MISSED


# The openai SDK gets fewer rows, over which its start would weigh more than headrace's own: only its sending is counted.
BARS: tuple[Bar, ...] = (
    Bar("CPU per row ÷ aiohttp gather, 50 in flight", "in-flight-50", "headrace", CPU, 0.42, 0.33, REFERENCE),
    Bar("CPU per row ÷ aiohttp workers, 50 in flight", "in-flight-50", "headrace", CPU, 0.5, 0.4, WORKERS),
    Bar("CPU per row ÷ aiohttp gather, 1,000 in flight", "in-flight-1000", "headrace", CPU, 0.27, 0.2, REFERENCE),
    Bar("CPU per row ÷ aiohttp workers, 1,000 in flight", "in-flight-1000", "headrace", CPU, 0.4, 0.32, WORKERS),
    Bar("CPU per row ÷ aiohttp gather over TLS, 50 in flight", "tls-50", "headrace", CPU, 0.37, 0.3, REFERENCE),
    Bar("CPU per row ÷ aiohttp gather over TLS, 1,000 in flight", "tls-1000", "headrace", CPU, 0.32, 0.25, REFERENCE),
    Bar("CPU per row ÷ aiohttp workers, limit of 3,000/s binds", "limit-binds", "headrace", CPU, 0.4, 0.3, WORKERS),
    Bar("prompts of 100 kB: CPU per row ÷ aiohttp workers", "heavy-requests-100kb", "headrace", CPU, 0.75, 0.62, WORKERS),
    Bar("prompts of 1.5 MB: CPU per row ÷ aiohttp workers", "heavy-requests-1500kb", "headrace", CPU, 0.65, 0.48, WORKERS),
    Bar("start-up, one row: µs of CPU", "start-up", "headrace", CPU, 150_000, 115_000),
    Bar("CPU per row ÷ openai SDK (its sending only)", "in-flight-1000", "headrace", CPU, 0.05, 0.02, "openai-sdk", SENDING),
    # The transport alone, in sending only: what is prepared beforehand is the caller's.
    Bar("transport, prepared bytes ÷ aiohttp gather", "in-flight-1000", "transport-bytes", SENDING, 0.6, 0.4, REFERENCE),
    Bar("transport, ready httpx.Request ÷ aiohttp gather", "in-flight-1000", "transport-request", SENDING, 0.8, 0.6, REFERENCE),
    Bar("transport behind httpx.AsyncClient ÷ aiohttp gather", "in-flight-1000", "transport-client", SENDING, 1.6, 1.3, REFERENCE),
    Bar("5,000 in flight at 1 s: achieved ÷ ideal, steady", "in-flight-5000", "headrace", STEADY, 0.95, 0.995, at_least=True),
    Bar("the same with its ramp, 40,000 rows", "in-flight-5000", "headrace", ACHIEVED, 0.92, 0.94, at_least=True),
    Bar("10,000 in flight at 10 s: achieved ÷ ideal, steady", "in-flight-10000", "headrace", STEADY, 0.95, 0.99, at_least=True),
    Bar("the same: peak RSS, MB", "in-flight-10000", "headrace", RSS, 300, 200),
    Bar("pace behind a slow head row ÷ without one", "slow-head", "headrace", STEADY, 0.97, 0.99, base="even-head", at_least=True),
    Bar("unknown limit, a bucket: attained ÷ allowed after 10 s", "unknown-bucket", "headrace", LATER, 0.9, 0.95, at_least=True),
    Bar("the same told by headers", "unknown-headers", "headrace", LATER, 0.98, 0.99, at_least=True),
    Bar("twice the true limit configured: wall ÷ ideal", "unknown-twice", "headrace", "wall_of_ideal", 1.4, 1.1),
    Bar("flaky relay: wall ÷ openai SDK, 20 in flight", "flaky-relay", "headrace", "wall_seconds", 1.3, 1.0, "openai-sdk"),
    Bar("50 streams: CPU per row ÷ aiohttp, json.loads of each event", "stream-50", "headrace", CPU, 0.6, 0.35, STREAMING),
    Bar("the same ÷ openai SDK (its sending only)", "stream-50", "headrace", CPU, 0.06, 0.03, "openai-stream", SENDING),
    Bar("1,000 streams, 50 ms an event: ÷ aiohttp, json.loads of each event", "stream-1000", "headrace", CPU, 0.9, 0.5, STREAMING),
    Bar("CPU per row at 10⁶ rows ÷ at 10⁴ rows", "rows-1000000", "headrace", CPU, 1.1, 1.02, base="rows-10000"),
    Bar("peak RSS at 10⁶ rows ÷ at 10⁴ rows", "rows-1000000", "headrace", RSS, 1.15, 1.05, base="rows-10000"),
    Bar("stages alone, no I/O, µs a row", "stages", "stages", SENDING, 22, 14),
)  # fmt: skip


def measure(bar: Bar, scenarios: Mapping[str, Any]) -> Figure | None:
    """What a result says of a bar; None if it does not have it."""
    ours = values(scenarios, bar.scenario, bar.subject, bar.figure)
    if bar.base is not None:
        return quotient(ours, values(scenarios, bar.base, bar.subject, bar.figure))
    if bar.reference is not None:
        theirs = values(scenarios, bar.scenario, bar.reference, bar.reference_figure or bar.figure)
        return figure([mine / other for mine, other in zip(ours, theirs, strict=False)]) if ours and theirs else None
    return figure(ours) if ours else None


def values(scenarios: Mapping[str, Any], scenario: str, subject: str, name: str) -> list[float]:
    """A figure in each run, or nothing if one run does not have it, or the subject or the scenario is not there."""
    subjects = scenarios.get(scenario, {"subjects": {}})["subjects"]
    runs = subjects[subject]["runs"] if subject in subjects else []
    return [run[name] for run in runs] if all(name in run for run in runs) else []


def quotient(ours: list[float], theirs: list[float]) -> Figure | None:
    """Of two medians whose runs were not taken side by side: their spreads add up."""
    if not ours or not theirs:
        return None
    over, under = figure(ours), figure(theirs)
    return Figure(over.median / under.median, over.spread + under.spread) if under.median else None


def standings(measured: Mapping[str, Any]) -> Iterator[tuple[Bar, Figure | None]]:
    """Every bar with what was measured."""
    return ((bar, measure(bar, measured["scenarios"])) for bar in BARS)

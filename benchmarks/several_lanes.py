"""Three lanes over real sockets: the share of their limits that is used, and what happens when the largest of them dies.

The providers are embedded ones in the same process. Each table row is one run of about a minute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import define, field

import pipeline
from pipeline.config import load_config_text
from pipeline.events import AttemptResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline import Config, LaneBack, LaneOut, RunEvent, Summary
    from pipeline.events import AttemptRecord

RATES = {"large": 30.0, "middle": 15.0, "small": 6.0}
LATENCIES = {"large": 0.5, "middle": 1.0, "small": 2.0}
DIES, BACK = 12.0, 24.0
SECONDS = 44.0  # of rows at the full rate
KINDS = {"connection_refused": "refused connections", "wrong_key": "a refused key (401)", "http_502": "a gateway's 502", "stall": "silence"}
HEAD = "| the largest lane | failed | detected | used again | the others ÷ their limits | all ÷ sum afterwards |\n|---|---|---|---|---|---|"


@define
class Book:
    """An observer that keeps everything. started: clock of the first departure."""

    records: list[AttemptRecord] = field(factory=list)
    told: list[RunEvent] = field(factory=list)

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Keep records."""
        self.records.extend(records)

    def events(self, events: Sequence[RunEvent]) -> None:
        """Keep events."""
        self.told.extend(events)

    @property
    def started(self) -> float:
        """Clock of the first departure."""
        return min(record.left for record in self.records)

    def share(self, lanes: Sequence[str], begin: float, end: float) -> float:
        """Answers of some lanes, as a share of what their limits allow, by when the attempts left."""
        left = [each.left - self.started for each in self.records if each.lane in lanes and each.result is AttemptResult.ANSWERED]
        return sum(begin <= at < end for at in left) / (end - begin) / sum(RATES[lane] for lane in lanes)

    def after(self, kind: type[LaneOut | LaneBack], since: float) -> float:
        """Seconds from `since` to the next event of a kind about the largest lane."""
        times = [event.at - self.started for event in self.told if isinstance(event, kind) and event.lane == "large"]
        return max(0.0, min(at for at in times if at >= since - 0.5) - since)


def config_of(folder: Path, fault: str | None) -> Config:
    """The run, with a fault of the largest lane."""
    rows = int(sum(RATES.values()) * SECONDS)
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {row}"}) + "\n" for row in range(rows)))
    lanes = []
    for name, rate in RATES.items():
        simulate: dict[str, object] = {"latency": {"distribution": "lognormal", "median_seconds": LATENCIES[name], "spread": 0.4}}
        if fault is not None and name == "large":
            simulate["outages"] = [{"fault": fault, "at_seconds": DIES, "seconds": BACK - DIES}]
        lanes.append({"name": name, "limits": {"requests_per_second": rate, "max_in_flight": 200}, "simulate": simulate})
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "{prompt}"}]}
    config = {
        "source": {"path": "in.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": body},
        "providers": lanes,
        "timeouts": {"total_seconds": 60},
        "sink": {"path": "out.jsonl"},
    }
    return load_config_text(json.dumps(config), "several_lanes", folder=folder)


def measure(fault: str | None) -> tuple[Summary, Book]:
    """One run."""
    book = Book()

    async def main() -> Summary:
        with tempfile.TemporaryDirectory() as folder:
            return await pipeline.run(config_of(Path(folder), fault), observers=[book])

    return trio.run(main), book


def report() -> Iterator[str]:
    """The table."""
    summary, book = measure(None)
    lanes = list(RATES)
    used = book.share(lanes, 3, SECONDS - 4)
    yield f"Healthy: {used:.3f} of the sum of the limits, {summary.failed} failed, {summary.throttled} throttled.\n"
    yield HEAD
    for fault, name in KINDS.items():
        summary, book = measure(fault)
        detected, again = book.after(pipeline.LaneOut, DIES), book.after(pipeline.LaneBack, BACK)
        rest, all_of_them = book.share(lanes[1:], DIES + 1, BACK), book.share(lanes, BACK + again + 1, BACK + again + 13)
        yield f"| {name} | {summary.failed} | {detected:.1f} s | {again:.1f} s | {rest:.3f} | {all_of_them:.3f} |"


def main() -> None:
    """Print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    lines = []
    for line in report():
        print(line, flush=True)
        lines.append(line)
    if options.write is not None:
        limits = " + ".join(f"{rate:g}" for rate in RATES.values())
        dead = f"the largest lane is dead from {DIES:g} to {BACK:g} s after the start"
        head = f"# Three lanes over real sockets\n\nLimits {limits} requests a second; {dead}.\n\n"
        options.write.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

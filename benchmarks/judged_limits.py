"""What is promised of unknown limits, each promise with its bar, its goal and what virtual time says of it.

`python -m benchmarks.judged_limits [--seeds 3] [--write FILE]` prints one table in Markdown. Every figure is the median of all kinds
of limits and seeds that its row names, and the worst of them. Attained is what was let in over what the limit allowed.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from benchmarks.hidden_limits import Bucket, Fixed, Flaky, InFlight, Plan, Sliding
from benchmarks.unknown_limits import MEAN_LATENCY, SLOTS, semaphore_seconds, settled
from benchmarks.virtual_run import World, as_enforced, drive, per_minute
from pipeline.core.pacing.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.hidden_limits import Server
    from benchmarks.virtual_run import Book

HALVES_AT, DOUBLES_AT, ENDS_AT = 100.0, 200.0, 300.0
RATE = 100.0


@frozen
class Promise:
    """A row of the table. figures: measured, in the worst case last. at_least: more is better."""

    scenario: str
    figure: str
    figures: Sequence[float]
    bar: float
    goal: float
    at_least: bool = False
    percent: bool = False

    def row(self) -> str:
        """As Markdown."""
        middle, worst = statistics.median(self.figures), (min if self.at_least else max)(self.figures)
        reached = [middle >= mark if self.at_least else middle <= mark for mark in (self.bar, self.goal)]
        standing = "goal" if reached[1] else "bar" if reached[0] else "**missed**"
        shown = [f"{100 * each:.2f} %" if self.percent else f"{each:.3g}" for each in (middle, worst, self.bar, self.goal)]
        sign = "≥" if self.at_least else "≤"
        cells = [self.scenario, self.figure, f"{shown[0]} ({shown[1]})", f"{sign} {shown[2]}", f"{sign} {shown[3]}", standing]
        return f"| {' | '.join(cells)} |"


def _kinds(*names: str, rate: float = RATE, plan: Plan | None = None, seed: int = 1) -> Iterator[Server]:
    plan = plan or Plan()
    for name in names:
        kind, _, seconds = name.partition(" ")
        if kind == "fixed":
            yield Fixed(rate, float(seconds), phase=0.37 * float(seconds) * seed, plan=plan)
        elif kind == "sliding":
            yield Sliding(rate, float(seconds), plan=plan)
        elif kind == "bucket":
            yield Bucket(rate, float(seconds), plan=plan)
        else:
            yield InFlight(rate * MEAN_LATENCY, MEAN_LATENCY, plan)


def _runs(names: Sequence[str], seeds: int, world: World, *, speak: str = "", plan: Plan | None = None) -> list[tuple[Server, Book]]:
    runs = []
    for seed in range(1, seeds + 1):
        for server in _kinds(*names, plan=plan, seed=seed):
            each = evolve(world, seed=seed, slots=int(SLOTS * RATE * MEAN_LATENCY))
            if speak:
                each = evolve(each, speak=per_minute(server) if speak == "minute" else as_enforced)
            runs.append((server, drive(Lane.from_limits(learn=True, max_in_flight=each.slots), server, each)))
    return runs


def _twice(seeds: int) -> Iterator[Promise]:
    ratios = []
    for seed in range(1, seeds + 1):
        for name in ("fixed 1", "sliding 1", "bucket 1", "bucket 0.2", "fixed 10"):
            server = next(_kinds(name, rate=20.0, seed=seed))
            server.refused_count = True  # type: ignore[attr-defined]  # all of these have it
            world = World(slots=50, rows=600, waits="none", latency=0.3, sigma=0.3, shortest=0.1, network=0.005, jitter=0.005, seed=seed)
            book = drive(Lane.from_limits(learn=True, max_in_flight=50, requests_per_second=40.0), server, world)
            ratios.append(book.ended_at / 30.0)
    yield Promise("configured twice the true limit, refused requests count, no wait told", "wall ÷ ideal", ratios, 1.4, 1.1)


def _told(seeds: int) -> Iterator[Promise]:
    world = World(seconds=120.0)
    runs = _runs(["fixed 60", "sliding 60", "bucket 1", "bucket 10"], seeds, world, speak="minute")
    yield Promise("headers, a minute", "attained from 10 s on", [b.attained(s, 10, 120) for s, b in runs], 0.98, 0.99, at_least=True)
    yield Promise("headers, a minute", "429s", [b.refused_share() for _, b in runs], 0.001, 0.0, percent=True)
    runs = _runs(["fixed 10", "sliding 10"], seeds, world, speak="enforced")
    yield Promise("headers of 10 s", "attained after the first edge", [b.attained(s, 25, 120) for s, b in runs], 0.98, 0.995, at_least=True)
    yield Promise("headers of 10 s", "429s", [b.refused_share(25) for _, b in runs], 0.001, 0.0, percent=True)
    runs = _runs(["fixed 1", "sliding 1", "bucket 1"], seeds, evolve(world, latency=0.5, shortest=0.1), speak="enforced")
    yield Promise("headers of a second", "attained from 15 s on", [b.attained(s, 15, 120) for s, b in runs], 0.9, 0.98, at_least=True)
    yield Promise("headers of a second", "429s", [b.refused_share(15) for _, b in runs], 0.005, 0.001, percent=True)


def _blind(seeds: int) -> Iterator[Promise]:
    share = "attained from 20 s on"
    short = ["fixed 1", "sliding 1", "bucket 0.2", "bucket 1", "bucket 10", "fixed 10", "sliding 10"]
    runs = _runs(short, seeds, World(seconds=120.0))
    yield Promise("blind, window ≤ 10 s or bucket", share, [b.attained(s, 20, 120) for s, b in runs], 0.9, 0.95, at_least=True)
    yield Promise("blind, window ≤ 10 s or bucket", "429s", [b.refused_share() for _, b in runs], 0.015, 0.005, percent=True)
    runs = _runs(["in flight"], seeds, World(seconds=120.0))
    yield Promise("blind, cap in flight", share, [b.attained(s, 20, 120) for s, b in runs], 0.75, 0.95, at_least=True)
    yield from _short_caps(seeds)
    runs = _runs(["fixed 60", "sliding 60"], seeds, World(seconds=300.0))
    for until in (60, 300):
        yield Promise("blind, a minute", f"attained in {until} s", [b.attained(s, 0, until) for s, b in runs], 0.95, 0.98, at_least=True)
    yield Promise("blind, a minute", "429s", [b.refused_share() for _, b in runs], 0.01, 0.005, percent=True)


def _short_caps(seeds: int) -> Iterator[Promise]:
    """Caps on requests at once, as proxies have them: no wait is told, and answers are fast and differ."""
    for latency in (0.05, 0.5, 2.0):
        attained, refused = [], []
        for seed in range(1, seeds + 1):
            for most, sigma in ((8, 0.5), (20, 0.05), (20, 0.5), (60, 0.5)):
                server = InFlight(most, latency * math.exp(sigma * sigma / 2))
                world = World(seconds=90.0, seed=seed, waits="none", latency=latency, sigma=sigma, shortest=latency / 5)
                book = drive(Lane.from_limits(learn=True, max_in_flight=200), server, evolve(world, network=0.001, jitter=0.001))
                attained.append(book.attained(server, 20, 90))
                refused.append(book.refused_share())
        scenario = f"blind, cap of 8 to 60 in flight, answers in {latency:g} s"
        yield Promise(scenario, "attained from 20 s on", attained, 0.75, 0.95, at_least=True)
        yield Promise(scenario, "429s", refused, 0.03, 0.015, percent=True)


def _changes(seeds: int) -> Iterator[Promise]:
    plan, world = Plan(((HALVES_AT, 0.5), (DOUBLES_AT, 1.0))), World(seconds=ENDS_AT + 20)
    for said, speak, names, bars in (
        ("headers", "minute", ["bucket 0.2", "bucket 1", "bucket 10"], (3.0, 1.0, 10.0, 2.0)),
        ("blind", "", ["fixed 1", "sliding 1", "bucket 0.2", "bucket 1", "bucket 10", "fixed 10", "sliding 10"], (15.0, 5.0, 45.0, 10.0)),
    ):
        runs = _runs(names, seeds, world, speak=speak, plan=plan)
        down = [settled(b, s, HALVES_AT, DOUBLES_AT, 10.0) for s, b in runs]
        up = [settled(b, s, DOUBLES_AT, ENDS_AT + 20, 10.0) for s, b in runs]
        yield Promise(f"the limit halves, {said}", "seconds until settled", down, bars[0], bars[1])
        yield Promise(f"the limit doubles, {said}", "seconds until settled", up, bars[2], bars[3])


def _relay(seeds: int) -> Iterator[Promise]:
    ratios = []
    for seed in range(1, 7 * seeds + 1):
        draws = random.Random(seed)
        server = Flaky(0.1, [draws.random() for _ in range(10_007)], broken=0.1, wait=1.0, late=True)
        world = World(slots=20, seed=seed, rows=300, latency=0.3, sigma=0.5, shortest=0.08, network=0.002, jitter=0.002, seconds=3000.0)
        book = drive(Lane.from_limits(learn=True, max_in_flight=20), server, world)
        ratios.append(book.ended_at / semaphore_seconds(0.2, 0.3, random.Random(seed), late=True))
    yield Promise("300 rows, 10 % 429 and 10 % 503 at random", "wall ÷ semaphore, 20 at once", ratios, 1.3, 1.0)


def _known(seeds: int) -> Iterator[Promise]:
    attained, refused = [], []
    for seed in range(1, seeds + 1):
        for server in _kinds("fixed 1", "sliding 1", "bucket 1", seed=seed):
            world = World(seconds=120.0, seed=seed, slots=1920, network=0.001, jitter=0.001, latency=1.0, shortest=0.2)
            book = drive(Lane.from_limits(learn=True, max_in_flight=1920, requests_per_second=RATE), server, world)
            attained.append(book.attained(server, 10, 120))
            refused.append(book.refused_share())
    yield Promise("a limit that is known", "attained", attained, 0.99, 0.995, at_least=True)
    yield Promise("a limit that is known", "429s", refused, 0.001, 0.0, percent=True)


def _tokens(seeds: int) -> Iterator[Promise]:
    def cost(draws: random.Random) -> tuple[int, int]:
        real = max(20, int(1000 * draws.lognormvariate(-0.245, 0.7)))
        return real, int(real * draws.lognormvariate(0.0, 0.15))

    attained, refused = [], []
    rate = 20_000.0
    for seed in range(1, seeds + 1):
        for server in (
            Sliding(rate, 60.0),
            Fixed(rate, 60.0, 13.0),
            Sliding(rate, 10.0),
            Bucket(rate, 1.0, least=rate),
            Bucket(rate, 10.0),
        ):
            world = World(seconds=300.0, slots=400, seed=seed, cost=cost, by_tokens=True)
            book = drive(Lane.from_limits(learn=True, max_in_flight=400), server, world)
            attained.append(book.attained(server, 20, 300))
            refused.append(book.refused_share())
    yield Promise("blind, tokens are limited, rows differ threefold", "attained from 20 s on", attained, 0.9, 0.95, at_least=True)
    yield Promise("blind, tokens are limited, rows differ threefold", "429s", refused, 0.015, 0.005, percent=True)


def promises(seeds: int) -> Iterator[Promise]:
    """All rows of the table."""
    for part in (_twice, _told, _blind, _changes, _relay, _known, _tokens):
        yield from part(seeds)


def main() -> None:
    """Print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    lines = ["| scenario | figure | median (worst) | bar | goal | reached |", "|---|---|---|---|---|---|"]
    for promise in promises(options.seeds):
        lines.append(promise.row())
        print(lines[-1], flush=True)
    if options.write is not None:
        head = f"# Unknown limits: what is promised, in virtual time, at {RATE:g} requests a second\n"
        options.write.write_text("\n".join([head, *lines]) + "\n")


if __name__ == "__main__":
    main()

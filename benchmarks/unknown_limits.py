"""How well a limit is found that nobody configured: on virtual time, so that five minutes take a second.

`python -m benchmarks.unknown_limits [--rate 10 100] [--seeds 3] [--write FILE]` prints tables in Markdown. Attained is what was let in
over what the limit allowed; from 20 s on where nothing else is said. Refused is the share of all attempts.
"""

from __future__ import annotations

import argparse
import random
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from benchmarks.hidden_limits import Bucket, Fixed, Flaky, InFlight, Plan, Sliding
from benchmarks.virtual_run import World, as_enforced, drive, per_minute
from pipeline.core.pacing.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.hidden_limits import Server
    from benchmarks.virtual_run import Book

MEAN_LATENCY = 4.8  # of a lognormal with a median of 4 s and a sigma of 0.6
SLOTS = 4.0  # times what the limit needs by Little's law
SECONDS = 300.0
HALVES_AT, DOUBLES_AT = 100.0, 200.0


@frozen
class Kind:
    """A limit to be found. make: from the rate, a seed and a plan of changes. minute: it is a window of a minute."""

    name: str
    make: Callable[[float, int, Plan], Server]
    minute: bool = False


def _fixed(period: float) -> Kind:
    return Kind(f"fixed window, {period:g} s", lambda rate, seed, plan: Fixed(rate, period, 0.37 * period * seed, plan=plan), period >= 60)


def _sliding(period: float) -> Kind:
    return Kind(f"sliding window, {period:g} s", lambda rate, _, plan: Sliding(rate, period, plan=plan), period >= 60)


def _bucket(seconds: float) -> Kind:
    return Kind(f"token bucket, {seconds:g} s deep", lambda rate, _, plan: Bucket(rate, seconds, plan=plan))


KINDS = (
    *(make(period) for period in (60.0, 10.0, 1.0) for make in (_fixed, _sliding)),
    *(_bucket(seconds) for seconds in (0.2, 1.0, 10.0)),
    Kind("attempts in flight", lambda rate, _, plan: InFlight(rate * MEAN_LATENCY, MEAN_LATENCY, plan)),
)


def once(kind: Kind, rate: float, seed: int, world: World, *, speak: str = "", plan: Plan | None = None) -> tuple[Server, Book]:
    """One run against one server. speak: "minute" or "enforced", for headers."""
    server = kind.make(rate, seed, plan or Plan())
    world = evolve(world, seed=seed, slots=max(20, int(SLOTS * rate * MEAN_LATENCY)))
    if speak:
        world = evolve(world, speak=per_minute(server) if speak == "minute" else as_enforced)
    lane = Lane.from_limits(learn=True, max_in_flight=world.slots)
    return server, drive(lane, server, world)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(cells: Sequence[str]) -> Iterator[str]:
    yield _row(cells)
    yield "|---" * len(cells) + "|"


def found(rate: float, seeds: int) -> Iterator[str]:
    """Without a word of the limit: how much of it is used, and how much is refused."""
    yield from _head(["limit", "wait told", "first 60 s", "20-60 s", "60-300 s (worst)", "refused, first 60 s", "refused, 300 s"])
    for kind in KINDS:
        for waits in ("whole", "none"):
            runs = [once(kind, rate, seed, World(seconds=SECONDS, waits=waits)) for seed in range(1, seeds + 1)]
            late = [book.attained(server, 60, SECONDS) for server, book in runs]
            yield _row(
                [
                    kind.name,
                    "whole seconds" if waits == "whole" else "no",
                    f"{_mean(book.attained(server, 0, 60) for server, book in runs):.3f}",
                    "used up" if kind.minute else f"{_mean(book.attained(server, 20, 60) for server, book in runs):.3f}",
                    f"{statistics.mean(late):.3f} ({min(late):.3f})",
                    f"{100 * _mean(book.refused_share(0, 60) for _, book in runs):.2f} %",
                    f"{100 * _mean(book.refused_share() for _, book in runs):.2f} %",
                ],
            )


def announced(rate: float, seeds: int) -> Iterator[str]:
    """With headers, that say a limit per minute or what is enforced."""
    yield from _head(["enforced", "headers say", "20-60 s", "60-300 s (worst)", "refused"])
    for kind in KINDS:
        if kind.name.startswith("attempts"):
            continue
        for speak in ("minute", "enforced"):
            if speak == "enforced" and "bucket" in kind.name:
                continue
            runs = [once(kind, rate, seed, World(seconds=SECONDS), speak=speak) for seed in range(1, seeds + 1)]
            late = [book.attained(server, 60, SECONDS) for server, book in runs]
            yield _row(
                [
                    kind.name,
                    "a limit per minute" if speak == "minute" else "what is enforced",
                    f"{_mean(book.attained(server, 20, 60) for server, book in runs):.3f}",
                    f"{statistics.mean(late):.3f} ({min(late):.3f})",
                    f"{100 * _mean(book.refused_share() for _, book in runs):.3f} %",
                ],
            )


def settled(book: Book, server: Server, since: float, until: float, span: float) -> float:
    """Seconds until 90 % is attained and at most 2 % refused, over the next `span`; inf if never."""
    at = since
    while at + span < until:
        if book.attained(server, at, at + span) >= 0.9 and book.refused_share(at, at + span) <= 0.02:
            return at - since
        at += 0.5
    return float("inf")


def changed(rate: float, seeds: int) -> Iterator[str]:
    """The limit halves at 100 s, and doubles at 200 s."""
    plan = Plan(((HALVES_AT, 0.5), (DOUBLES_AT, 1.0)))
    yield from _head(["limit", "headers", "halved: settled after (worst)", "doubled: settled after (worst)", "refused"])
    for kind in KINDS:
        for speak in ("", "minute"):
            if speak and kind.name.startswith("attempts"):
                continue
            span = 60.0 if kind.minute else 10.0
            world = World(seconds=SECONDS + 20)
            runs = [once(kind, rate, seed, world, speak=speak, plan=plan) for seed in range(1, seeds + 1)]
            down = [settled(book, server, HALVES_AT, DOUBLES_AT, span) for server, book in runs]
            up = [settled(book, server, DOUBLES_AT, SECONDS + 20, span) for server, book in runs]
            yield _row(
                [
                    kind.name,
                    "per minute" if speak else "none",
                    f"{statistics.median(down):.1f} s ({max(down):.1f})",
                    f"{statistics.median(up):.1f} s ({max(up):.1f})",
                    f"{100 * _mean(book.refused_share() for _, book in runs):.2f} %",
                ],
            )


def flaky(seeds: int) -> Iterator[str]:
    """A relay that refuses at random, 300 rows, 20 at once: the time, over that of a semaphore whose holders sleep a second."""
    yield from _head(["refused at random", "latency", "seconds", "semaphore, seconds", "ratio"])
    for share in (0.05, 0.1, 0.2):
        for latency in (0.05, 0.2, 1.0):
            ours, theirs = [], []
            for seed in range(1, seeds + 1):
                draws = random.Random(seed)
                server = Flaky(share, [draws.random() for _ in range(10_007)])
                world = World(slots=20, seed=seed, rows=300, latency=latency, sigma=0.2, shortest=latency / 2, network=0.005, jitter=0.005)
                ours.append(drive(Lane.from_limits(learn=True, max_in_flight=20), server, world).ended_at)
                theirs.append(semaphore_seconds(share, latency, draws))
            mine, other = statistics.median(ours), statistics.median(theirs)
            yield _row([f"{share:.0%}", f"{latency:g} s", f"{mine:.1f}", f"{other:.1f}", f"{mine / other:.2f}"])


def semaphore_seconds(share: float, latency: float, draws: random.Random, *, late: bool = False) -> float:
    """How long 300 rows take a client whose twenty holders of a semaphore sleep a second when they are refused."""
    free = [0.0] * 20
    for _ in range(300):
        at = free.pop(0)
        while draws.random() < share:
            at += 1.015 + (latency * draws.lognormvariate(0.0, 0.5) if late else 0.0)
        free.append(at + 0.015 + latency * draws.lognormvariate(0.0, 0.5 if late else 0.2))
        free.sort()
    return free[-1]


def _mean(values: Iterator[float]) -> float:
    return statistics.mean(values)


def report(rates: Sequence[float], seeds: int) -> Iterator[str]:
    """All tables."""
    for rate in rates:
        yield f"## {rate:g} requests a second\n"
        yield f"Nothing is configured and nothing announced; mean of {seeds} seeds.\n"
        yield from found(rate, seeds)
        yield "\nThe provider announces its limit.\n"
        yield from announced(rate, seeds)
        yield "\nThe limit changes meanwhile: 90 % attained, 2 % refused over the next 10 s (60 s for minute windows); median.\n"
        yield from changed(rate, seeds)
        yield ""
    yield "## A relay that refuses at random\n"
    yield "300 rows, 20 at once, Retry-After 1 s; medians.\n"
    yield from flaky(seeds)


def main() -> None:
    """Print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, nargs="+", default=[10.0, 100.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    lines = []
    for line in report(options.rate, options.seeds):
        print(line, flush=True)
        lines.append(line)
    if options.write is not None:
        options.write.write_text("# Limits that nobody told: figures in virtual time\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Law 7 for real: kill -9 at random instants, resume until done, and nothing is lost and little sent twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import Campaign, Ended, campaign, ended, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 900
IN_FLIGHT = 20
KILLS = 8


def live(runs: Campaign, attempts: int | None) -> Ended | None:
    """One process, killed after so many attempts unless it ends before."""
    process = runs.start()
    if attempts is not None:
        target = runs.sent() + attempts
        wait_until(lambda: runs.sent() >= target or process.poll() is not None, process)
        if process.poll() is None:
            process.kill()
            process.communicate()
            return None
    return ended(process)


@pytest.mark.parametrize(
    "order, window, durability, rate",
    [("input", 1024, "process", 400), ("input", 40, "power", 400), ("completion", 1024, "process", 400), ("input", 1024, "process", None)],
    ids=["ordered", "ordered-small-power", "completion", "all-slots-taken"],
)
def test_killed_again_and_again_it_ends_as_if_undisturbed(
    tmp_path: Path, order: str, window: int, durability: str, rate: int | None
) -> None:
    chance = random.Random(f"{order}{window}")
    simulate = {"latency.median_seconds": 0.03, "script": {"3": "1.5s"}}
    limits = {"max_in_flight": IN_FLIGHT, "window": window, "requests_per_second": rate}
    with campaign(tmp_path, ROWS, simulate, limits=limits, sink={"order": order}, journal={"durability": durability}) as runs:
        kills = 0
        end: Ended | None = None
        while end is None:
            end = live(runs, chance.randrange(10, 2 * ROWS // KILLS) if kills < KILLS else None)
            kills += end is None
        attempts = runs.sent()
        written = runs.output.read_bytes()
        again = runs.run()
        undisturbed = runs.undisturbed()

    assert end.code == 0, end.said
    assert end.summary is not None
    assert (end.summary["total"], end.summary["succeeded"]) == (ROWS, ROWS)
    assert end.summary["unknown_outcome"] <= kills * IN_FLIGHT
    assert kills >= KILLS // 2
    assert attempts <= ROWS + kills * IN_FLIGHT
    assert sorted(written.splitlines()) == sorted(undisturbed.splitlines())
    if order == "input":
        assert written == undisturbed
    assert again.summary is not None
    assert (again.code, again.summary["attempts"], again.summary["digest"]) == (0, 0, end.summary["digest"])


@pytest.mark.parametrize("order", ["input", "completion"])
@pytest.mark.parametrize("durability", ["process", "power"])
def test_of_large_answers_no_more_are_sent_again_than_were_in_flight(tmp_path: Path, order: str, durability: str) -> None:
    chance = random.Random(order)
    rows, in_flight, kills = 200, 10, 3
    simulate = {"latency.median_seconds": 0.05, "answer_characters": 1_200_000, "script": {"3": "1s"}}
    limits = {"max_in_flight": in_flight}
    with campaign(tmp_path, rows, simulate, limits=limits, sink={"order": order}, journal={"durability": durability}) as runs:
        ends = [live(runs, chance.randrange(30, 60)) for _ in range(kills)]
        end = live(runs, None)
        attempts = runs.sent()
        left = sorted(path.name for path in tmp_path.glob("out.jsonl*"))
        undisturbed = runs.undisturbed()

    assert end is not None
    assert end.code == 0, end.said
    assert ends == [None] * kills
    assert attempts <= rows + kills * in_flight
    assert sorted(runs.output.read_bytes().splitlines()) == sorted(undisturbed.splitlines())
    assert not [name for name in left if "spool" in name]

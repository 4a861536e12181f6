"""Law 7 for real: kill -9 at random instants, resume until done, and nothing is lost and little sent twice."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import Ended, campaign, ended

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 900
IN_FLIGHT = 20
KILLS = 8


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
            process = runs.start()
            try:
                end = ended(process) if kills == KILLS else None
                if end is None:
                    process.wait(0.45 + 0.4 * chance.random())
                    end = ended(process)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
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

"""A whole file against a provider that answers in every way: no row is lost, mixed up, sent twice in vain or sent too soon."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.hostile_ways import LASTING, PASSING, RESULTS
from tests.fakes.runs import answers, ids, refuses, run_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 3000
FAULTY = 0.3
IN_FLIGHT = 50
PATIENT = {"idle_seconds": 1, "total_seconds": 3}  # of a busy machine
SLOW = {"gzip_bomb", "big_gzip", "retry_after_date"}  # for the provider to make, or to wait for: left to the test of each way


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider(latency_seconds=0.05) as hostile:
        yield hostile


def _plan(seed: int) -> list[str]:
    draw = random.Random(seed)
    passing, results = sorted(set(PASSING) - SLOW), sorted(set(RESULTS) - SLOW)
    statuses = [way for way in passing if way.startswith("status:")]
    ways = []
    for _ in range(ROWS):
        faults = [draw.choice(passing)] if draw.random() < FAULTY else []
        if faults and draw.random() < 0.33:  # never two answers that are none: a second one is the row's last
            faults.append(draw.choice(statuses))
        ways.append(";".join([*faults, draw.choice(results)]))
    for index in draw.sample(range(ROWS), 40):
        ways[index] = draw.choice(LASTING)
    return ways


async def test_every_row_has_its_own_answer_whatever_the_provider_does(provider: HostileProvider, tmp_path: Path) -> None:
    ways = _plan(seed=2)
    lasting = {index for index, way in enumerate(ways) if way in LASTING}
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ways)

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": IN_FLIGHT}, timeouts=PATIENT)

    counts = provider.counts()
    assert ids(run.lines) == [f"row-{index}" for index in range(ROWS)]
    assert [line for index, line in enumerate(run.lines) if index not in lasting and not answers(line, f"row-{index}")] == []
    assert [run.lines[index] for index in lasting if not refuses(run.lines[index], f"row-{index}")] == []
    assert {counts.attempts[f"row-{index}"] for index in lasting} == {1}
    assert IN_FLIGHT * 0.9 <= counts.most_in_flight <= IN_FLIGHT  # some connect anew at any time, and a busy machine takes a while for it
    assert counts.stray == 0
    assert run.stopped is None
    assert (run.summary.total, run.summary.failed, run.summary.succeeded) == (ROWS, len(lasting), ROWS - len(lasting))

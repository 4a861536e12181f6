"""The wall clock may jump as it likes: it stamps commits and reads dates that providers write, and nothing waits by it."""

from __future__ import annotations

import ast
import time
from email.utils import formatdate
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

import pipeline
from pipeline.core.answers.hints import MAX_RETRY_AFTER_SECONDS
from pipeline.records import FaultCause
from tests.fakes.runs import read_lines, write_config
from tests.fakes.virtual_run import Plan, RowPlan, Try, VirtualRun

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCES = Path(__file__).parents[2] / "pipeline"
READERS = {
    "runs/assembly.py": "what a Retry-After date is held against",
    "cli/commands.py": "how long ago the last commit was, for people",
    "durability/commits.py": "the stamp of a commit",
    "durability/rebuild.py": "the stamp of a commit",
    "engines/ray/driver.py": "when the figures of a run were saved, for `status` elsewhere",
    "engines/ray/coordinator.py": "how old the ages are that an earlier coordinator has saved",
    "engines/shard.py": "the stamp of a shard's history",
    "inspect/status.py": "whether a run has committed of late, for people",
    "inspect/report/writing.py": "when a report was made, for people",
    "serve/desk.py": "the stamps of files and batches",
    "serve/steps.py": "the stamps of batches, and when they expire",
    "serve/telling.py": "the stamps of batches",
    "simulate/connection.py": "the dates in a simulated provider's headers",
}
WALL_CLOCKS = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
YEAR = 365 * 86400.0
CLOCKS: dict[str, Callable[[], Callable[[], float]]] = {
    "back": lambda: count(1e9, -YEAR).__next__,
    "ahead": lambda: count(1e9, YEAR).__next__,
    "to and fro": lambda: cycle([1e9, 0.0, 4e9, 1e9 - 1]).__next__,
    "before the epoch": lambda: lambda: -YEAR,
    "the last moment that Python has": lambda: lambda: 2**63 / 1e9,
}
ROWS = tuple(
    RowPlan(
        tries=(
            Try(429, headers=((b"retry-after", b"2"),)) if index % 7 == 3 else Try(FaultCause.CLOSED if index % 5 == 1 else 503, after=0.3),
            Try(after=0.05 * (index % 4)),
        ),
        tokens=10,
    )
    for index in range(40)
)
PLAN = Plan(rows=ROWS, window=20, requests_per_second=4.0, tokens_per_minute=3000)


def test_few_modules_read_the_wall_clock_and_each_for_a_reason() -> None:
    found = {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in WALL_CLOCKS
    }

    assert found == READERS.keys()


@pytest.mark.parametrize("clock", CLOCKS)
def test_requests_leave_at_the_same_moments_however_the_wall_clock_jumps(clock: str) -> None:
    steady = VirtualRun(PLAN).run()

    jumping = VirtualRun(PLAN, utc=CLOCKS[clock]()).run()

    assert len(steady.sent) > len(ROWS)
    assert jumping.sent == steady.sent
    assert [type(outcome) for outcome in jumping.written] == [type(outcome) for outcome in steady.written]


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_date_to_wait_for_is_never_waited_for_longer_than_any_other_wait(clock: str) -> None:
    date = formatdate(1e9 + 30, usegmt=True).encode()
    plan = Plan(rows=(RowPlan(tries=(Try(429, headers=((b"retry-after", date),)),)),) * 5)

    run = VirtualRun(plan, utc=CLOCKS[clock]()).run()

    assert [outcome.index for outcome in run.written] == list(range(5))
    assert run.sent[-1][0] - run.sent[0][0] <= 2 * MAX_RETRY_AFTER_SECONDS


@pytest.mark.parametrize("clock", CLOCKS)
async def test_a_run_and_one_that_goes_on_from_it_bear_a_clock_that_jumps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    (tmp_path / "in.jsonl").write_text('{"url": "/v1/x", "body": {}}\n' * 20)
    config = pipeline.load_config(write_config(tmp_path, "http://provider.test/v1"))
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"ok": True}))

    monkeypatch.setattr(time, "time", CLOCKS[clock]())
    first = await pipeline.run(config, limit=7, transport=transport)
    second = await pipeline.run(config, transport=transport)

    assert (first.succeeded, first.attempts) == (7, 7)
    assert (second.succeeded, second.skipped_resumed, second.attempts) == (20, 7, 13)
    assert min(first.duration_seconds, second.duration_seconds) >= 0
    assert len(read_lines(tmp_path / "out.jsonl")) == 20

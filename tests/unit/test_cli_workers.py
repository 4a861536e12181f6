"""What `-v` tells of workers: each change once."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.cli.workers import WorkersTold
from pipeline.summaries import WorkersProgress
from tests.fakes.views import START


def told(*moments: tuple[float, WorkersProgress]) -> list[str]:
    lines: list[str] = []
    teller = WorkersTold(lines.append)
    for seconds, workers in moments:
        teller.show(replace(START, elapsed_seconds=seconds, workers=workers))
    return lines


def test_each_change_is_told_once() -> None:
    both = WorkersProgress(2, 2, 3, 9, each={"a-0": 10, "a-1": 12})

    lines = told(
        (0.0, WorkersProgress(1, 2, 3, 9, each={"a-0": 1})),
        (0.5, both),
        (1.0, both),
        (1.5, replace(both, done=4)),
        (2.0, WorkersProgress(1, 2, 4, 9, again=1, each={"a-0": 20})),
        (31.0, WorkersProgress(2, 2, 4, 9, again=1, each={"a-0": 20, "a-2": 5})),
    )

    assert lines == [
        "worker a-0 has begun (1 of 2)",
        "worker a-1 has begun (2 of 2)",
        "4 of 9 shards whole",
        "worker a-1 has ended, after 12 rows",
        "1 shard given to another worker",
        "worker a-2 has begun (2 of 2)",
        "rows by worker: a-0 20, a-2 5",
    ]


def test_a_run_by_one_process_tells_nothing() -> None:
    lines: list[str] = []

    WorkersTold(lines.append).show(START)

    assert lines == []

"""What is said of a run by workers: `-v` tells each change once, and the commands that are advised can be pasted."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

import pipeline.engines.choosing
from pipeline.cli import main
from pipeline.cli.launch import _showing
from pipeline.cli.workers import WorkersTold
from pipeline.engines.in_turn import in_turn
from pipeline.engines.ray.words import no_room
from pipeline.inspect.report.writing import report_of_file
from pipeline.summaries import WorkersProgress
from tests.fakes.views import START

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.summaries import Progress


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


def test_why_workers_do_not_come_is_said_once_and_only_for_want_of_a_cpu() -> None:
    said: list[str] = []

    class Terminal:
        say = said.append

        def show(self, progress: Progress) -> None:
            """Nothing is shown here."""

    show = _showing(Terminal())  # type: ignore[arg-type]  # what of a terminal it uses
    for missing in ("", no_room(2, 3, 0.0, 1.0), no_room(2, 3, 0.0, 1.0), no_room(2, 3, 1.0, 4.0), no_room(1, 3, 0.5, 2.0)):
        show(replace(START, workers=WorkersProgress(1, 3, 0, 9, missing=missing)))

    assert said == [
        "2 of 3 workers wait for a CPU: none of the 1 of the cluster is free; add a node, or ask for fewer workers",
        "1 of 3 workers waits for a CPU: none of the 2 of the cluster is free; add a node, or ask for fewer workers",
    ]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A config of three rows and a provider that nobody can reach, whose engine needs no cluster."""
    monkeypatch.setattr(pipeline.engines.choosing, "ray_engine", lambda: in_turn)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {number}"}) + "\n" for number in range(3)))
    (tmp_path / "c.yaml").write_text(
        "source: {path: in.jsonl}\n"
        'request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}\n'
        "provider: {base_url: 'http://127.0.0.1:9'}\n"
        "retry: {patience_seconds: 0}\n"
        "sink: {path: out.jsonl}\n"
    )
    return str(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    "flags",
    [["--engine", "ray", "--workers", "2"], ["--workers", "3", "--address", "localhost:6379"], ["--address", "auto", "--limit", "2"]],
)
def test_the_command_that_goes_on_names_the_engine_as_it_was_given(
    config: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", config, "--json", "--set", "limits.max_in_flight=2", *flags])

    (advice,) = json.loads(capsys.readouterr().out)["advice"]
    assert code == 3
    assert advice["command"] == shlex.join(["headrace", "run", config, "--set", "limits.max_in_flight=2", *flags])


def test_status_and_report_of_a_run_by_workers_say_that_workers_go_on(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", config, "--workers", "2"]) == 3
    capsys.readouterr()

    assert main(["status", config]) == 0
    report = report_of_file(config)

    assert "stopped; `headrace run --engine ray` goes on" in capsys.readouterr().err
    with open(report.path, encoding="utf-8") as page:  # noqa: PTH123  its path is a text
        assert f"headrace run {config} --engine ray" in page.read()

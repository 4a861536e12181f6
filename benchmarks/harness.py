"""Runs subjects against a scenario's server, one at a time, interleaved, and writes down every run.

The server stays on one core and the subject on another, where there are two. The first round warms caches up and is dropped.
"""

from __future__ import annotations

import compileall
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve

from benchmarks.conditions import conditions
from benchmarks.figures import derive, paired_ratio, summarise
from benchmarks.provider import ROOT, Provider, serving
from benchmarks.scenarios import REFERENCE, WORKERS, Scenario
from benchmarks.subjects import SUBJECTS, Subject, environment, prepare, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GAVE_UP = -1000.0  # the exit code that is noted when patience ended
LAUNCH = Path(__file__).parent / "launch.py"


def measure(
    scenarios: Sequence[Scenario], peers: Sequence[str] | None, runs: int, *, warm_up: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """All scenarios, as the JSON that is published. peers: only these; None for all that a scenario names."""
    raise_file_limit()
    compile_modules()
    began = conditions()
    measured = {scenario.name: measure_scenario(scenario, peers, runs, warm_up=warm_up, say=say) for scenario in scenarios}
    return {"conditions": {**began, "load_at_end": os.getloadavg(), "runs": runs}, "scenarios": measured}


def measure_scenario(
    scenario: Scenario, peers: Sequence[str] | None, runs: int, *, warm_up: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """One scenario: every subject in every round."""
    chosen = [SUBJECTS[name] for name in scenario.peers if peers is None or name in peers]
    skipped = {subject.name: f"not installed: {', '.join(subject.missing())}" for subject in chosen if subject.missing()}
    chosen = [subject for subject in chosen if subject.name not in skipped]
    kept: dict[str, list[dict[str, float]]] = {subject.name: [] for subject in chosen}
    server, client = cores()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as work, serving(scenario, Path(work), server) as provider:
        for number in range(-1 if warm_up else 0, runs):
            for subject in list(chosen):
                run = measure_once(subject, scenario, provider, Path(work), client)
                if run["exit_code"] == GAVE_UP:
                    chosen.remove(subject)
                    skipped[subject.name] = f"did not end within {scenario.patience_seconds:g} s"
                    kept.pop(subject.name)
                    say(f"{scenario.name:<16} {subject.name:<18} {skipped[subject.name]}")
                    continue
                say(line_of(scenario, subject, number, run))
                if number >= 0:
                    kept[subject.name].append(run)
    return {"settings": asdict(scenario), "skipped": skipped, "subjects": {name: digest(name, kept) for name in kept}}


def measure_once(subject: Subject, scenario: Scenario, provider: Provider, work: Path, core: int) -> dict[str, float]:
    """One run of one subject in a folder of its own; its figures."""
    load = evolve(scenario, rows=min(scenario.rows, scenario.slow_rows)) if subject.slow else scenario
    folder = work / "run"
    folder.mkdir()
    command = prepare(subject, load, provider.base_url, folder)
    provider.reset()
    cost = launch(command, folder, core, scenario.patience_seconds, {**os.environ, **environment(), **provider.environment})
    seen = {f"seen_{name}": count for name, count in provider.counts(scenario.in_flight).items()}
    run = {**cost, **(verdict(subject, load, folder) or served(seen)), **seen}
    shutil.rmtree(folder)
    return {**derive(load, run), "exit_code": cost["exit_code"], "load": os.getloadavg()[0]}


def served(seen: dict[str, float]) -> dict[str, float]:
    """What came of a load generator's requests, which keeps no answer: as many as the server saw."""
    return {"rows": seen["seen_requests"], "right": seen["seen_requests"] - seen["seen_refused"], "misplaced": 0, "lost": 0}


def launch(command: Sequence[str], folder: Path, core: int, patience: float, variables: dict[str, str]) -> dict[str, float]:
    """Run a command to its end, or to the end of patience; what its process cost. What it said is shown if it fails."""
    result, said = folder / "cost.json", folder / "said.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), str(result), str(core), *command],
            cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            return {"started": 0.0, "wall_seconds": patience, "cpu_seconds": 0.0, "peak_rss_mb": 0.0, "exit_code": GAVE_UP}
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code != 0:
        print(said.read_text()[-2000:], file=sys.stderr)
    cost: dict[str, float] = json.loads(result.read_text())
    return cost


def digest(name: str, kept: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """One subject's part of the result: medians, spreads, headrace's ratio to it, and every run."""
    runs, ours = kept[name], kept.get("headrace", [])
    ratio = paired_ratio("cpu_us_per_row", ours, runs)
    reference, workers = kept.get(REFERENCE, []), kept.get(WORKERS, [])
    to_reference = paired_ratio("cpu_us_per_row", runs, reference)
    to_workers = paired_ratio("cpu_us_per_row", runs, workers)
    sending = paired_ratio("sending_cpu_us_per_row", runs, reference) if "sending_cpu_us_per_row" in runs[0] else None
    return {
        "figures": {key: asdict(value) for key, value in summarise(runs).items()},
        "headrace_cpu_ratio": asdict(ratio) if ratio else None,
        "cpu_ratio_to_reference": asdict(to_reference) if to_reference else None,
        "cpu_ratio_to_workers": asdict(to_workers) if to_workers else None,
        "sending_ratio_to_reference": asdict(sending) if sending else None,
        "runs": runs,
    }


def line_of(scenario: Scenario, subject: Subject, number: int, run: dict[str, float]) -> str:
    """What is said of a run while it goes on."""
    label = "warm-up" if number < 0 else f"run {number + 1}"
    return (
        f"{scenario.name:<16} {subject.name:<18} {label:<8} {run['rows']:>9,.0f} rows  {run['rows_per_second']:>8,.0f}/s  "
        f"{run['cpu_us_per_row']:>9,.1f} µs/row  {run['peak_rss_mb']:>6.0f} MB  right {run['right']:,.0f}  lost {run['lost']:,.0f}  "
        f"ideal {run.get('achieved_of_ideal', 0):.3f}/{run.get('steady_of_ideal', 0):.3f}  start {run.get('start_seconds', 0):.2f} s  "
        f"server {run.get('server_cpu_share', 0):.2f}"
    )


def compile_modules() -> None:
    """Write the bytecode of what is measured, as an installation does: else an editable install may compile it at every start."""
    for folder in ("pipeline", "headrace", "benchmarks"):
        compileall.compile_dir(ROOT / folder, quiet=2)


def cores() -> tuple[int | None, int]:
    """The server's core and the subject's; no choice (None, -1) where there is but one."""
    if not hasattr(os, "sched_getaffinity"):
        return None, -1
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, -1)


def raise_file_limit() -> None:
    """Ten thousand connections need as many files, on both sides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""What is promised of answers, each promise with its bar, its goal and what was measured.

`python -m benchmarks.judged_answers [--only NAME,…] [--write FILE]` prints a table in Markdown. All that is measured by CPU is measured
in turn with what it is compared with, so that a busy machine slows both. The ratios to aiohttp and to openai's SDK are scenarios of the
harness (`stream-50`, `stream-1000`), with their bars in `bars.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from attrs import evolve, frozen

from benchmarks.harness import compile_modules, cores, launch, measure_once, raise_file_limit
from benchmarks.provider import ROOT, serving
from benchmarks.scenarios import SCENARIOS
from benchmarks.subjects import SUBJECTS, environment, prepare
from benchmarks.texts_in_languages import LANGUAGES, counter, prompts, request, texts_of
from pipeline.core.answers.expect import Expectation
from pipeline.core.answers.fitting import AnswerRules
from pipeline.core.answers.schemas import schema_check
from pipeline.core.rows.estimate import Calibration, prompt_tokens
from pipeline.records import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEARNED = 100  # answers after which an estimate should be right
PATIENCE = 600.0
USAGE = {"prompt_tokens": 900, "completion_tokens": 400, "total_tokens": 1300}


@frozen
class Measured:
    """A row of the table. figures: of each run, in the unit of the bar. low: the least that is right, where too little is wrong too."""

    name: str
    figures: list[float]
    bar: float
    goal: float
    unit: str = ""
    low: tuple[float, float] | None = None

    def row(self) -> str:
        """As Markdown."""
        middle = statistics.median(self.figures)
        reached = [
            middle <= mark and (self.low is None or middle >= low)
            for mark, low in zip((self.bar, self.goal), self.low or (0, 0), strict=True)
        ]
        standing = "goal" if reached[1] else "bar" if reached[0] else "**missed**"
        marks = [
            f"≤ {mark:g}" if self.low is None else f"{low:g}–{mark:g}"
            for mark, low in zip((self.bar, self.goal), self.low or (0, 0), strict=True)
        ]
        spread = f" ({min(self.figures):.3g}–{max(self.figures):.3g})" if len(self.figures) > 1 else ""
        return f"| {self.name} | {middle:.3g}{self.unit}{spread} | {marks[0]}{self.unit} | {marks[1]}{self.unit} | {standing} |"


def first_token_lag() -> Iterator[Measured]:
    """From the time at which the server had written the first token of an answer until it was seen."""
    scenario = SCENARIOS["stream-50-paced"]
    server, core = cores()
    with tempfile.TemporaryDirectory() as work, serving(scenario, Path(work), server) as provider:
        lags: list[list[float]] = []
        for _ in range(3):
            folder = Path(tempfile.mkdtemp(dir=work))
            prepare(SUBJECTS["headrace"], scenario, provider.base_url, folder)
            provider.reset()
            said = run(["-m", "benchmarks.first_tokens", str(folder / "config.yaml")], core)
            written = provider.first_events()
            lags.append(sorted((seen - written[row]) * 1000 for row, seen in json.loads(said).items()))
    for share, bar, goal in ((0.5, 10, 5), (0.99, 20, 8)):
        figures = [each[min(len(each) - 1, int(share * len(each)))] for each in lags]
        yield Measured(f"first token, 2,500 events a second: lag, p{share * 100:g}", figures, bar, goal, " ms")


def long_streams() -> Iterator[Measured]:
    """Peak of memory with 50 streams of 9 MB at once, above that of 50 short ones."""
    rss: dict[str, list[float]] = {}
    server, core = cores()
    for name in ("stream-short", "stream-long") * 2:
        scenario = SCENARIOS[name]
        with tempfile.TemporaryDirectory() as work, serving(scenario, Path(work), server) as provider:
            figures = measure_once(SUBJECTS["headrace"], scenario, provider, Path(work), core)
            assert figures["right"] == scenario.rows, f"{name}: {figures}"
            rss.setdefault(name, []).append(figures["peak_rss_mb"])
    above = [long - short for long, short in zip(rss["stream-long"], rss["stream-short"], strict=True)]
    yield Measured("50 streams of 9 MB at once: peak RSS above 50 short ones", above, 60, 30, " MB")


def schema_checks() -> Iterator[Measured]:
    """What a schema costs an answer of 1.6 kB: decoded, found, checked."""
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["entities"],
        "properties": {"entities": {"type": "array", "items": {"$ref": "#/$defs/entity"}}},
        "$defs": {
            "entity": {
                "type": "object",
                "required": ["name", "type", "start"],
                "properties": {
                    "name": {"type": "string", "pattern": "^[A-Z]"},
                    "type": {"enum": ["person", "place", "thing"]},
                    "start": {"type": "integer", "minimum": 0},
                    "link": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                },
            }
        },
    }
    draw = random.Random(1)
    kinds = ("person", "place", "thing")
    entities = [
        {"name": f"Name{at}" * 5, "type": draw.choice(kinds), "start": at * 31, "link": None if at % 2 else f"https://x/{at}" * 2}
        for at in range(15)
    ]
    said = json.dumps({"entities": entities})
    body = msgspec.json.encode(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}], "usage": USAGE}
    )
    job = Job(0, "row-0", "POST", "/v1/chat/completions", b"{}", 10, 1)
    with_schema = AnswerRules(Expectation(json=True, schema=schema_check(schema)))
    without = AnswerRules(Expectation())
    assert with_schema.judge(body, job, job, 1) is None

    def cost(rules: AnswerRules) -> float:
        began = time.process_time()
        for _ in range(2000):
            rules.judge(body, job, job, 1)
        return (time.process_time() - began) / 2000 * 1e6

    pairs = [(cost(with_schema), cost(without)) for _ in range(9)]
    yield Measured(f"schema check of an answer of {len(said) / 1000:.1f} kB, a row", [min(first for first, _ in pairs)], 15, 9, " µs")


def estimates() -> Iterator[Measured]:
    """Sum of estimated prompts over the sum of the real ones, once a hundred answers have been seen."""
    count = counter()
    for language in (*LANGUAGES, "Code"):
        if count is None or not texts_of(language):
            continue
        figures = []
        for seed in range(3):
            calibration, estimated, real = Calibration(), 0, 0
            for number, prompt in enumerate(prompts(language, seed)):
                guess, true = prompt_tokens(request(prompt)), count(prompt)
                if number >= LEARNED:
                    estimated += calibration.expected(guess)
                    real += true
                calibration.learn(guess, true)
            figures.append(estimated / real)
        yield Measured(f"tokens estimated ÷ real after {LEARNED} answers: {language}", figures, 1.1, 1.05, low=(0.9, 0.95))


def cached_runs() -> Iterator[Measured]:
    """CPU of a run in which every answer is in the cache over that of one that sends."""
    scenario = evolve(SCENARIOS["in-flight-50"], rows=20_000)
    server, core = cores()
    ratios = []
    with tempfile.TemporaryDirectory() as work, serving(scenario, Path(work), server) as provider:
        cached = evolve(scenario, settings={"cache": {"path": str(Path(work) / "answers.cache")}})
        for number in range(4):
            sent, found = (whole_run(load, provider, Path(work), core) for load in (scenario, cached))
            if number:  # the first one fills the cache
                ratios.append(found / sent)
    yield Measured(f"CPU of {scenario.rows:,} rows that are all in the cache ÷ sent", ratios, 0.6, 0.4)


def whole_run(scenario: Any, provider: Any, work: Path, core: int) -> float:
    """Seconds of CPU of one run of headrace."""
    folder = Path(tempfile.mkdtemp(dir=work))
    command = prepare(SUBJECTS["headrace"], scenario, provider.base_url, folder)
    cost = launch(command, folder, core, PATIENCE, {**environment(), **provider.environment, "PATH": ""})
    assert cost["exit_code"] == 0, cost
    return cost["cpu_seconds"]


def run(arguments: list[str], core: int) -> str:
    """What a program says on its standard output."""
    command = [sys.executable, *arguments]
    if core >= 0:
        command = ["taskset", "-c", str(core), *command]
    return subprocess.run(
        command, cwd=ROOT, env={**environment(), "PATH": "/usr/bin:/bin"}, check=True, capture_output=True, text=True
    ).stdout


SUBJECT: dict[str, Callable[[], Iterator[Measured]]] = {
    "lag": first_token_lag,
    "memory": long_streams,
    "schema": schema_checks,
    "estimate": estimates,
    "cache": cached_runs,
}


def main() -> None:
    """Print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SUBJECT))
    parser.add_argument("--first", action="store_true", help="before all other programs (Linux, root): for a machine that is not idle")
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    if options.first:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    raise_file_limit()
    compile_modules()
    lines = ["| figure | median (least–most) | bar | goal | reached |", "|---|---|---|---|---|"]
    for name in options.only.split(","):
        for measured in SUBJECT[name]():
            lines.append(measured.row())
            print(lines[-1], flush=True)
    if options.write is not None:
        options.write.write_text("\n".join(["# Answers: what is promised, and what was measured\n", *lines]) + "\n")


if __name__ == "__main__":
    main()

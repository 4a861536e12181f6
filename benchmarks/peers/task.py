"""What a peer is told, and how its answers are judged.

A peer's CPU is read when its last answer is in hand, before they are judged: neither that nor the end of its process counts
against it. (headrace's counts from the start of its process to the end.) What it cost from the moment when all was prepared
is told apart, where a peer knows that moment.
"""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from typing import TextIO

MODEL = "bench-1"
MAX_TOKENS = 120
KEY = "sk-bench"
NAME = "row-"
NUMBER_END = 11  # a prompt begins with its row's name, "row-0000123"; so does what its answer says


@dataclass(frozen=True)
class Task:
    """Prompts to send, and to whom.

    source: the file that they are from. base_url: ends in /v1. rate: requests a second that are allowed, None without a limit.
    timeout_seconds: for one request. stream: answers are to come in events.
    """

    prompts: list[str]
    source: Path
    base_url: str
    in_flight: int
    rate: float | None
    timeout_seconds: float
    report: Path
    stream: bool = False

    @property
    def url(self) -> str:
        """Where chat completions are."""
        return f"{self.base_url}/chat/completions"

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {KEY}"}

    @staticmethod
    def load(*, read: bool = True) -> Task:
        """The task that the command line names. read: the prompts too; a peer that goes from file to file reads them itself."""
        task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        source, report = Path(task["input"]), Path(task["report"])
        prompts = read_prompts(source) if read else []
        return Task(prompts, source, task["base_url"], task["in_flight"], task["rate"], task["timeout_seconds"], report, task["stream"])

    def finish(self, answers: Sequence[str | None], *, ready: float | None = None, done: float | None = None) -> None:
        """Report what came of it.

        answers: as the peer kept them; the one at place i is taken for row i's. ready: `cpu_seconds` before the first was sent.
        done: `cpu_seconds` when the last was in hand; now if it is not given.
        """
        used = cpu_seconds() if done is None else done
        figures = {"cpu_seconds": used, **judge(self.prompts, answers)}
        if ready is not None:
            figures["sending_cpu_seconds"] = used - ready
        self.report.write_text(json.dumps(figures), encoding="utf-8")

    def finish_file(self, answers: Path, *, ready: float) -> None:
        """Report what came of it, by a file with `index` and `body` in each line, in any order. ready: as for `finish`."""
        done = cpu_seconds()
        prompts = read_prompts(self.source)
        kept: list[str | None] = [None] * len(prompts)
        with answers.open(encoding="utf-8") as lines:
            for line in lines:
                answer = json.loads(line)
                kept[answer["index"]] = answer["body"]["choices"][0]["message"]["content"]
        figures = {"cpu_seconds": done, "sending_cpu_seconds": done - ready, **judge(prompts, kept)}
        self.report.write_text(json.dumps(figures), encoding="utf-8")


def from_file_to_file(run: Callable[[Task, Iterator[tuple[int, str]], TextIO], Coroutine[Any, Any, None]]) -> None:
    """The whole program of a peer that goes from the file of prompts to a file of answers; judged by what stands in it.

    run: takes numbered lines and writes an object with `index` and `body` for each. Its loop is its own, so that no row costs a call more.
    """
    import asyncio  # here, so that peers that do without do not pay for it

    task = Task.load(read=False)
    ready = cpu_seconds()
    answers = task.report.with_name("answers.jsonl")
    with task.source.open(encoding="utf-8") as lines, answers.open("w", encoding="utf-8") as output:
        asyncio.run(run(task, enumerate(lines), output))
    task.finish_file(answers, ready=ready)


def read_prompts(source: Path) -> list[str]:
    """The prompts of a file."""
    with source.open(encoding="utf-8") as lines:
        return [json.loads(line)["prompt"] for line in lines]


def cpu_seconds() -> float:
    """User and system time of this process up to now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def judge(prompts: Sequence[str], answers: Sequence[str | None]) -> dict[str, float]:
    """rows, right (in the row's own place), misplaced (there, but elsewhere), lost."""
    names = [prompt[:NUMBER_END] for prompt in prompts]
    right = sum(1 for name, answer in zip(names, answers, strict=False) if answer is not None and name in answer)
    present = {answer[at : at + NUMBER_END] for answer in answers if answer is not None and (at := answer.find(NAME)) >= 0}
    lost = sum(1 for name in names if name not in present)
    return {"rows": len(names), "right": right, "misplaced": len(names) - lost - right, "lost": lost}


def body(prompt: str) -> dict[str, Any]:
    """The request that every peer sends for a prompt."""
    return {"model": MODEL, "max_tokens": MAX_TOKENS, "messages": [{"role": "user", "content": prompt}]}

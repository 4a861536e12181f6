"""headrace's stages with its files and its journal, as `pipeline.run` joins them by default; only the network is left out.

In: all that is in `stages`, and besides: rows cut from the input file, outcomes committed to the journal, attempts marked as
sent, lines appended to the output, digests over rows and output, opening and closing all of it, the threads between. Out: HTTP
and sockets, and, read off the CPU's clock beforehand, the start of the process and the reading of the config.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import trio

from benchmarks.peers.stages import Instant, spare_the_collector
from benchmarks.peers.task import Task, body, cpu_seconds
from pipeline import load_config
from pipeline.runs import run as run_module
from pipeline.runs.providers import Providers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def no_network(*_: Any) -> AsyncIterator[Providers]:
    """Stands where `run` opens its provider."""
    async with trio.open_nursery() as nursery:
        providers = Providers(nursery, None, None, lambda _: None)
        providers.senders.append(Instant())
        yield providers


def written_config(task: Task, output: Path) -> Path:
    """A config as a user writes it, beside the task."""
    path = output.with_name("config.yaml")
    settings = {
        "source": {"path": str(task.source)},
        "request": {"url": "/v1/chat/completions", "body": body("{prompt}")},
        "provider": {"base_url": task.base_url},
        "limits": {"max_in_flight": task.in_flight},
        "sink": {"path": str(output)},
    }
    path.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    return path


def in_place(prompts: list[str], output: Path) -> list[str | None]:
    """The prompt of every row whose answer is written in its turn; there is but one answer."""
    with output.open(encoding="utf-8") as lines:
        return [
            prompt if is_answer(json.loads(line), index) else None for index, (prompt, line) in enumerate(zip(prompts, lines, strict=False))
        ]


def is_answer(line: dict[str, Any], index: int) -> bool:
    """Whether a line of the output is this row's and holds an answer."""
    return line["custom_id"] == f"row-{index}" and line["error"] is None


def main() -> None:
    """Run from file to file."""
    task = Task.load()
    output = task.report.with_name("results.jsonl")
    config = load_config(written_config(task, output))
    spare_the_collector()
    # `run` takes a transport in the network's place, but one of httpx's costs more than all the stages.
    with patch.object(run_module, "open_providers", no_network):
        ready = cpu_seconds()
        trio.run(run_module.run, config)
        done = cpu_seconds()
    task.finish(in_place(task.prompts, output), ready=ready, done=done)


if __name__ == "__main__":
    main()

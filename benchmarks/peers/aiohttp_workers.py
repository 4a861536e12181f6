"""The other reference: as many aiohttp workers as may be in flight, from a file to a file. No retries, no order, no journal.

Each takes the next line of the input, asks, decodes the answer and writes it, so that memory does not grow with the rows.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.peers.task import Task, body, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


async def run(task: Task, lines: Iterator[tuple[int, str]], output: TextIO) -> None:
    """Ask for every line."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=task.timeout_seconds)
    async with aiohttp.ClientSession(headers=task.headers, connector=connector, timeout=timeout) as session:

        async def work() -> None:
            for index, line in lines:
                try:
                    async with session.post(task.url, json=body(json.loads(line)["prompt"])) as response:
                        output.write(json.dumps({"index": index, "body": await response.json()}) + "\n")
                except Exception as error:
                    print(error)

        await asyncio.gather(*[work() for _ in range(task.in_flight)])


def main() -> None:
    """From the file of prompts to a file of answers; judged by what stands in it."""
    task = Task.load(read=False)
    ready = cpu_seconds()
    answers = task.report.with_name("answers.jsonl")
    with task.source.open(encoding="utf-8") as lines, answers.open("w", encoding="utf-8") as output:
        asyncio.run(run(task, enumerate(lines), output))
    task.finish_file(answers, ready=ready)


if __name__ == "__main__":
    main()

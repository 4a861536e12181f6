"""The other reference: as many aiohttp workers as may be in flight, from a file to a file. No retries, no order, no journal.

Each takes the next line of the input, asks, decodes the answer and writes it, so that memory does not grow with the rows.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.peers.task import body, from_file_to_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from benchmarks.peers.task import Task


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


if __name__ == "__main__":
    from_file_to_file(run)

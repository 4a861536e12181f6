"""The official openai SDK on its aiohttp back end."""

from __future__ import annotations

import asyncio

from openai import DefaultAioHttpClient

from benchmarks.peers.openai_sdk import run
from benchmarks.peers.task import Task, cpu_seconds


async def main(task: Task) -> list[str | None]:
    """The plain program with the other HTTP client."""
    return await run(task, http_client=DefaultAioHttpClient(timeout=task.timeout_seconds))


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(main(work)), ready=ready)

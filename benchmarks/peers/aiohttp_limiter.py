"""The reference loop with a limiter (aiolimiter), as one writes it when there is a rate to keep."""

from __future__ import annotations

import asyncio

import aiohttp
from aiolimiter import AsyncLimiter

from benchmarks.peers.task import Task, body, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt; semaphore, then limiter, then the request."""
    semaphore = asyncio.Semaphore(task.in_flight)
    limiter = AsyncLimiter(task.rate or 1_000_000, 1.0)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=task.timeout_seconds)
    async with aiohttp.ClientSession(headers=task.headers, connector=connector, timeout=timeout) as session:

        async def ask(prompt: str) -> str | None:
            try:
                async with semaphore, limiter, session.post(task.url, json=body(prompt)) as response:
                    answer = await response.json()
                    content: str = answer["choices"][0]["message"]["content"]
                    return content
            except Exception as error:
                print(error)
                return None

        return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

"""THE reference: a bare loop on aiohttp with a semaphore that keeps the answers in a list. No retries, no order, no file."""

from __future__ import annotations

import asyncio

import aiohttp

from benchmarks.peers.task import Task, body, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt, all at once, as many in flight as allowed."""
    semaphore = asyncio.Semaphore(task.in_flight)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=task.timeout_seconds)
    async with aiohttp.ClientSession(headers=task.headers, connector=connector, timeout=timeout) as session:

        async def ask(prompt: str) -> str | None:
            try:
                async with semaphore, session.post(task.url, json=body(prompt)) as response:
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

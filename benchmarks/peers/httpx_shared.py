"""One shared httpx client with a semaphore, its pool as large as what may be in flight."""

from __future__ import annotations

import asyncio

import httpx

from benchmarks.peers.task import Task, body, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt."""
    semaphore = asyncio.Semaphore(task.in_flight)
    limits = httpx.Limits(max_connections=task.in_flight, max_keepalive_connections=task.in_flight)
    async with httpx.AsyncClient(headers=task.headers, limits=limits, timeout=task.timeout_seconds) as client:

        async def ask(prompt: str) -> str | None:
            try:
                async with semaphore:
                    response = await client.post(task.url, json=body(prompt))
                content: str = response.json()["choices"][0]["message"]["content"]
            except Exception as error:
                print(repr(error))
                return None
            return content

        return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

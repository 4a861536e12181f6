"""The reference of streams: aiohttp with a semaphore, each line read as it comes, json.loads of each event, the pieces joined."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from benchmarks.peers.task import Task, body, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt, all at once, as many in flight as allowed."""
    semaphore = asyncio.Semaphore(task.in_flight)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=task.timeout_seconds)
    async with aiohttp.ClientSession(headers=task.headers, connector=connector, timeout=timeout) as session:

        async def ask(prompt: str) -> str | None:
            pieces: list[str] = []
            try:
                async with semaphore, session.post(task.url, json={**body(prompt), "stream": True}) as response:
                    async for line in response.content:
                        if line.startswith(b"data: {"):
                            choice = json.loads(line[6:])["choices"][0]
                            pieces.append(choice["delta"].get("content") or "")
            except Exception as error:
                print(error)
                return None
            return "".join(pieces)

        return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

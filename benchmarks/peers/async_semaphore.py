"""The article's third program: asyncio, aiohttp and a semaphore; a result or an error per prompt, 50 at once unless told otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from benchmarks.peers.task import Task, body, cpu_seconds


class AsyncHolySheepClient:
    """Returns a dictionary for every prompt, whatever came of it; nothing is tried twice."""

    def __init__(self, task: Task, max_concurrent: int = 50) -> None:
        self.task = task
        self.semaphore = asyncio.Semaphore(max_concurrent)

    async def ask(self, session: aiohttp.ClientSession, prompt: str) -> dict[str, Any]:
        """One request."""
        async with self.semaphore:
            timeout = aiohttp.ClientTimeout(total=self.task.timeout_seconds)
            try:
                async with session.post(self.task.url, json=body(prompt), headers=self.task.headers, timeout=timeout) as response:
                    if response.status != 200:
                        return {"success": False, "status": response.status, "error": await response.text()}
                    answer = await response.json()
                    return {"success": True, "content": answer["choices"][0]["message"]["content"], "usage": answer["usage"]}
            except TimeoutError:
                return {"success": False, "error": "timeout"}
            except (aiohttp.ClientError, OSError, ValueError, KeyError) as error:  # one bad answer must not end the gather
                return {"success": False, "error": str(error)}

    async def run(self) -> list[dict[str, Any]]:
        """All prompts, gathered in their order."""
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*[self.ask(session, prompt) for prompt in self.task.prompts])


async def main(task: Task) -> list[str | None]:
    """The contents, None where there is an error."""
    results = await AsyncHolySheepClient(task, task.in_flight).run()
    return [result.get("content") for result in results]


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(main(work)), ready=ready)

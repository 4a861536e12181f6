"""The official openai SDK, as its README shows it: one AsyncOpenAI, a semaphore, its own retries."""

from __future__ import annotations

import asyncio
from typing import Any

from openai import AsyncOpenAI

from benchmarks.peers.task import KEY, MAX_TOKENS, MODEL, Task, cpu_seconds


async def run(task: Task, **client: Any) -> list[str | None]:
    """One task per prompt. client: more arguments of AsyncOpenAI."""
    semaphore = asyncio.Semaphore(task.in_flight)
    async with AsyncOpenAI(base_url=task.base_url, api_key=KEY, timeout=task.timeout_seconds, **client) as api:

        async def ask(prompt: str) -> str | None:
            try:
                async with semaphore:
                    answer = await api.chat.completions.create(
                        model=MODEL, max_tokens=MAX_TOKENS, messages=[{"role": "user", "content": prompt}]
                    )
                content: str | None = answer.choices[0].message.content
            except Exception as error:
                print(repr(error))
                return None
            return content

        return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

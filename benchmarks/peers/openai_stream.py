"""The official openai SDK with stream=True, as its README shows it: the pieces joined as they come."""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI

from benchmarks.peers.task import KEY, MAX_TOKENS, MODEL, Task, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt."""
    semaphore = asyncio.Semaphore(task.in_flight)
    async with AsyncOpenAI(base_url=task.base_url, api_key=KEY, timeout=task.timeout_seconds) as api:

        async def ask(prompt: str) -> str | None:
            pieces: list[str] = []
            try:
                async with semaphore:
                    events = await api.chat.completions.create(
                        model=MODEL, max_tokens=MAX_TOKENS, messages=[{"role": "user", "content": prompt}], stream=True
                    )
                    pieces.extend([event.choices[0].delta.content or "" async for event in events])
            except Exception as error:
                print(repr(error))
                return None
            return "".join(pieces)

        return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

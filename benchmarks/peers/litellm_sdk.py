"""litellm's acompletion with a semaphore."""

from __future__ import annotations

import asyncio

import litellm

from benchmarks.peers.task import KEY, MAX_TOKENS, MODEL, Task, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One task per prompt."""
    semaphore = asyncio.Semaphore(task.in_flight)

    async def ask(prompt: str) -> str | None:
        try:
            async with semaphore:
                answer = await litellm.acompletion(
                    model=f"openai/{MODEL}",
                    api_base=task.base_url,
                    api_key=KEY,
                    max_tokens=MAX_TOKENS,
                    timeout=task.timeout_seconds,
                    messages=[{"role": "user", "content": prompt}],
                )
            content: str = answer.choices[0].message.content
        except Exception as error:
            print(repr(error))
            return None
        return content

    return await asyncio.gather(*[ask(prompt) for prompt in task.prompts])


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

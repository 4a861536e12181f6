"""async-batch-llm's process_prompts, the nearest relative: retries, limits and checkpoints around the openai SDK."""

from __future__ import annotations

import asyncio

from async_batch_llm import ProcessorConfig, llm, process_prompts

from benchmarks.peers.task import KEY, MAX_TOKENS, MODEL, Task, cpu_seconds


async def run(task: Task) -> list[str | None]:
    """One call; its results come as they finish and carry the number of their prompt."""
    strategy = llm(
        f"openai-compatible:{MODEL}",
        base_url=task.base_url,
        api_key=KEY,
        max_connections=task.in_flight,
        generation_config={"max_tokens": MAX_TOKENS},
    )
    config = ProcessorConfig(
        concurrency=task.in_flight,
        max_requests_per_minute=task.rate * 60 if task.rate else None,
        timeout_per_item=task.timeout_seconds,
    )
    batch = await process_prompts(strategy, task.prompts, config=config)
    answers: list[str | None] = [None] * len(task.prompts)
    for result in batch.results:
        answers[result.submission_index or 0] = result.output
    return answers


if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(work)), ready=ready)

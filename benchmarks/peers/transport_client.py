"""headrace's transport behind an ordinary httpx.AsyncClient, as anybody may use it."""

from __future__ import annotations

import httpx
import trio

from benchmarks.peers.task import Task, body, cpu_seconds
from pipeline.edges.http.transport import HeadraceTransport


async def run(task: Task) -> tuple[list[str | None], float]:
    """As many workers as may be in flight, sharing one iterator and one client."""
    answers: list[str | None] = [None] * len(task.prompts)
    rows = iter(enumerate(task.prompts))

    ready = cpu_seconds()
    async with httpx.AsyncClient(transport=HeadraceTransport(), headers=task.headers, timeout=task.timeout_seconds) as client:

        async def work() -> None:
            for index, prompt in rows:
                response = await client.post(task.url, json=body(prompt))
                content: str = response.json()["choices"][0]["message"]["content"]
                answers[index] = content

        async with trio.open_nursery() as nursery:
            for _ in range(min(task.in_flight, len(task.prompts))):
                nursery.start_soon(work)
    return answers, ready


if __name__ == "__main__":
    given = Task.load()
    kept, cpu_before = trio.run(run, given)
    given.finish(kept, ready=cpu_before)

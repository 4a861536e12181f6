"""headrace's transport called with ready httpx.Requests, without a client in between."""

from __future__ import annotations

import httpx
import trio

from benchmarks.peers.task import Task, body, cpu_seconds
from pipeline.edges.http.transport import HeadraceTransport


async def run(task: Task) -> tuple[list[str | None], float]:
    """As many workers as may be in flight, sharing one iterator and one transport."""
    timeout = httpx.Timeout(task.timeout_seconds).as_dict()
    requests = [
        httpx.Request("POST", task.url, headers=task.headers, json=body(prompt), extensions={"timeout": timeout}) for prompt in task.prompts
    ]
    answers: list[str | None] = [None] * len(requests)
    rows = iter(enumerate(requests))

    ready = cpu_seconds()
    async with HeadraceTransport() as transport:

        async def work() -> None:
            for index, request in rows:
                response = await transport.handle_async_request(request)
                answers[index] = (await response.aread()).decode()
                await response.aclose()

        async with trio.open_nursery() as nursery:
            for _ in range(min(task.in_flight, len(requests))):
                nursery.start_soon(work)
    return answers, ready


if __name__ == "__main__":
    given = Task.load()
    kept, cpu_before = trio.run(run, given)
    given.finish(kept, ready=cpu_before)

"""headrace's transport behind an ordinary httpx.AsyncClient, as anybody may use it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import httpx

from benchmarks.peers.task import Task, body
from benchmarks.peers.workers import Answers, ask_all, main
from pipeline.edges.http.client.transport import HeadraceTransport

if TYPE_CHECKING:
    from collections.abc import Sequence


def prompts_of(task: Task) -> list[str]:
    """Nothing is prepared but the prompts: the client makes its requests itself."""
    return task.prompts


async def send(task: Task, prompts: Sequence[str]) -> Answers:
    """All workers through one client."""
    async with httpx.AsyncClient(transport=HeadraceTransport(), headers=task.headers, timeout=task.timeout_seconds) as client:

        async def ask(prompt: str) -> str | None:
            response = await client.post(task.url, json=body(prompt))
            content: str = response.json()["choices"][0]["message"]["content"]
            return content

        return await ask_all(prompts, task.in_flight, lambda: nullcontext(ask))


if __name__ == "__main__":
    main(prompts_of, send)

"""headrace's transport called with ready httpx.Requests, without a client in between."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import httpx

from benchmarks.peers.task import Task, body
from benchmarks.peers.workers import Answers, ask_all, main
from pipeline.edges.http.client.transport import HeadraceTransport

if TYPE_CHECKING:
    from collections.abc import Sequence


def requests_of(task: Task) -> list[httpx.Request]:
    """A request per prompt."""
    timeout = httpx.Timeout(task.timeout_seconds).as_dict()
    return [
        httpx.Request("POST", task.url, headers=task.headers, json=body(prompt), extensions={"timeout": timeout}) for prompt in task.prompts
    ]


async def send(task: Task, requests: Sequence[httpx.Request]) -> Answers:
    """All workers through one transport."""
    async with HeadraceTransport() as transport:

        async def ask(request: httpx.Request) -> str | None:
            response = await transport.handle_async_request(request)
            text = (await response.aread()).decode()
            await response.aclose()
            return text

        return await ask_all(requests, task.in_flight, lambda: nullcontext(ask))


if __name__ == "__main__":
    main(requests_of, send)

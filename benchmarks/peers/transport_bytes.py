"""headrace's transport alone: a sender per worker, bodies encoded beforehand, answers kept as the bytes they came in."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.peers.task import KEY, Task, body
from benchmarks.peers.workers import Answers, Ask, ask_all, main
from pipeline.edges.http import open_senders
from pipeline.edges.http.endpoint import Endpoint
from pipeline.records import Answer, Job

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def jobs_of(task: Task) -> list[Job]:
    """A job per prompt."""
    return [
        Job(index, f"row-{index}", "POST", "/v1/chat/completions", json.dumps(body(prompt)).encode(), 1, index + 1)
        for index, prompt in enumerate(task.prompts)
    ]


async def send(task: Task, jobs: Sequence[Job]) -> Answers:
    """Each worker through a sender, and so a connection, of its own."""
    async with open_senders(Endpoint(task.base_url, ("authorization", f"Bearer {KEY}"))) as open_sender:

        @contextmanager
        def open_ask() -> Iterator[Ask[Job]]:
            sender = open_sender()

            async def ask(job: Job) -> str | None:
                answer = await sender.send(job, f"bench-{job.index}")
                return answer.body.decode() if isinstance(answer, Answer) else None

            yield ask
            sender.close()

        return await ask_all(jobs, task.in_flight, open_ask)


if __name__ == "__main__":
    main(jobs_of, send)

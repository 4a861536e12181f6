"""headrace's transport alone: a sender per worker, bodies encoded beforehand, answers kept as the bytes they came in."""

from __future__ import annotations

import json

import trio

from benchmarks.peers.task import KEY, Task, body, cpu_seconds
from pipeline.edges.http import open_senders
from pipeline.edges.sender import Endpoint
from pipeline.records import Answer, Job


async def run(task: Task) -> tuple[list[str | None], float]:
    """As many workers as may be in flight, sharing one iterator."""
    jobs = [
        Job(index, f"row-{index}", "POST", "/v1/chat/completions", json.dumps(body(prompt)).encode(), 1, index + 1)
        for index, prompt in enumerate(task.prompts)
    ]
    answers: list[str | None] = [None] * len(jobs)
    rows = iter(jobs)

    ready = cpu_seconds()
    async with open_senders(Endpoint(task.base_url, ("authorization", f"Bearer {KEY}"))) as open_sender:

        async def work() -> None:
            sender = open_sender()
            for job in rows:
                answer = await sender.send(job, f"bench-{job.index}")
                if isinstance(answer, Answer):
                    answers[job.index] = answer.body.decode()
            sender.close()

        async with trio.open_nursery() as nursery:
            for _ in range(min(task.in_flight, len(jobs))):
                nursery.start_soon(work)
    return answers, ready


if __name__ == "__main__":
    given = Task.load()
    kept, cpu_before = trio.run(run, given)
    given.finish(kept, ready=cpu_before)

"""The official openai SDK with twenty in flight, which is what a user sets who does not know the limit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from benchmarks.peers.openai_sdk import run
from benchmarks.peers.task import Task, cpu_seconds

if __name__ == "__main__":
    work = Task.load()
    ready = cpu_seconds()
    work.finish(asyncio.run(run(replace(work, in_flight=20))), ready=ready)

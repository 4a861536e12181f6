"""Any httpx transport in place of headrace's own: here httpx.MockTransport, for tests without a socket."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

import httpx
import trio

import pipeline
from pipeline.core.ids import MemoryStore
from pipeline.core.jobs import JobMaker
from pipeline.core.limits import Lane
from pipeline.core.lines import RawRow
from pipeline.core.templates import Template
from pipeline.edges.http import senders_over
from pipeline.edges.sender import Endpoint
from pipeline.stages.fetch import FetchSettings

if TYPE_CHECKING:
    from pipeline import Outcome

REQUEST = Template.compile({"model": "small", "input": "{prompt}"})


def answer(request: httpx.Request) -> httpx.Response:
    """The whole provider: the vector of a text is its length."""
    text = json.loads(request.content)["input"]
    return httpx.Response(200, json={"data": [{"index": 0, "embedding": [len(text)]}]})


class Collector:
    """Keeps the outcomes."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    async def emit(self, outcomes: list[Outcome]) -> None:
        """Take a group."""
        await trio.lowlevel.checkpoint()
        self.outcomes.extend(outcomes)


async def embed(texts: list[str], transport: httpx.AsyncBaseTransport) -> list[Outcome]:
    """The vectors of some texts, in their order, over any transport."""
    rows = [RawRow(line, 0, {"prompt": text}) for line, text in enumerate(texts, 1)]

    async def take_rows(most: int) -> list[RawRow]:
        await trio.lowlevel.checkpoint()
        taken, rows[:] = rows[:most], rows[most:]
        return taken

    collector = Collector()
    settings = pipeline.FlowSettings(
        take_rows=take_rows,
        make_jobs=JobMaker(REQUEST, "/v1/embeddings", seen=MemoryStore()).make_jobs,
        lane=Lane.from_limits(requests_per_second=100),
        fetch=FetchSettings(
            senders_over(Endpoint("http://provider.test/v1"), transport),
            draw=random.random,
            utc=time.time,
            name_attempt=lambda index, attempt: f"mock-{index}-{attempt}",
        ),
        emitter=collector,
        workers=4,
        window=32,
    )
    await pipeline.run_flow(settings, pipeline.Tallies(), trio.Event())
    return collector.outcomes


async def main() -> None:
    """Embed three words without a network."""
    async with httpx.MockTransport(answer) as transport:
        for outcome in await embed(["weir", "sluice", "spillway"], transport):
            print(outcome.custom_id, pipeline.content_of(outcome))


if __name__ == "__main__":
    trio.run(main)

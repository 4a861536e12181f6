"""headrace's stages without any I/O: rows from a list, an answer at once, lines encoded and thrown away.

Jobs are made, gated, classified, ordered and encoded as in a real run. What is left out is the socket, the files, the journal.
"""

from __future__ import annotations

import json
import time

import trio

from benchmarks.peers.task import Task, body
from benchmarks.server import BODY
from pipeline.core.batch import encode_batch
from pipeline.core.jobs import JobMaker
from pipeline.core.limits import Lane
from pipeline.core.lines import RawRow
from pipeline.core.templates import Template
from pipeline.edges.seen import SeenOnDisk
from pipeline.flow import FlowSettings, Tallies, run_flow
from pipeline.records import Answer, Fault, Job, Outcome
from pipeline.stages.fetch import FetchSettings

ANSWER = BODY % (b"0000000", b"0000000")


class InstantSender:
    """Answers after one turn of the scheduler, as a socket would that has the answer already."""

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:  # noqa: ARG002  the seam's arguments
        """One attempt."""
        await trio.lowlevel.checkpoint()
        return Answer(200, [(b"content-type", b"application/json")], ANSWER)

    def close(self) -> None:
        """Nothing to close."""


class Shredder:
    """Encodes outcomes and drops them."""

    async def emit(self, outcomes: list[Outcome]) -> None:
        """A group."""
        self.emit_now(outcomes)
        await trio.lowlevel.checkpoint()

    def emit_now(self, outcomes: list[Outcome]) -> None:
        """A group, at once."""
        b"".join(map(encode_batch, outcomes))


def flow_of(task: Task) -> FlowSettings:
    """The product's own flow between ends that touch nothing."""
    rows = [RawRow(line, 0, json.dumps({"prompt": prompt}).encode()) for line, prompt in enumerate(task.prompts, 1)]
    at = 0

    async def take_rows(most: int) -> list[RawRow]:
        nonlocal at
        await trio.lowlevel.checkpoint()
        taken, at = rows[at : at + most], at + most
        return taken

    return FlowSettings(
        take_rows=take_rows,
        make_jobs=JobMaker(Template.compile(body("{prompt}")), "/v1/chat/completions", seen=SeenOnDisk()).make_jobs,
        lane=Lane.from_limits(),
        fetch=FetchSettings(InstantSender, draw=lambda: 0.5, utc=time.time, name_attempt=lambda index, attempt: f"bench-{index}-{attempt}"),
        emitter=Shredder(),
        workers=task.in_flight,
        window=4 * task.in_flight,
    )


def main() -> None:
    """Run, and count every row that succeeded as right: there is but one answer."""
    task, tallies = Task.load(), Tallies()
    trio.run(run_flow, flow_of(task), tallies, trio.Event())
    task.finish([f"answer to {prompt}" for prompt in task.prompts[: tallies.ledger.succeeded]])


if __name__ == "__main__":
    main()

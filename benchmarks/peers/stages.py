"""headrace's stages alone, without I/O and without a journal: what its own code costs a row.

In, per row: a job is made (JSON decoded, template rendered, body encoded), the gate lets it leave, a worker makes its attempt,
the answer is classified and decoded as far as in a real run, outcomes are put in order and encoded as lines, credits go back.
Out: cutting rows from a file, HTTP and sockets, the journal, the output file; and, read off the CPU's clock beforehand, the
start of the process and the making of the rows. With files and journal: `stages_durable`.
"""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING

import trio

from benchmarks.peers.task import Task, body, cpu_seconds
from benchmarks.server import BODY
from pipeline.cli.launch import COLLECT_AFTER
from pipeline.core.output.lines import encode_batch
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.templates import Template
from pipeline.edges.store.seen import SeenOnDisk
from pipeline.light import in_task
from pipeline.records import Answer, Fault, Job, Outcome
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.pass_through import PassThrough

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pipeline.light import Resumed

ANSWER = BODY % (b"0000000", b"0000000")


class Instant:
    """Opens senders that answer in the next pass of the scheduler, as a socket would that has the answer already.

    One task has all answers of a pass, as it has for connections.
    """

    def __init__(self) -> None:
        self._waiting: list[Resumed] = []

    def __call__(self) -> InstantSender:
        """A sender."""
        return InstantSender(self)

    def __await__(self) -> Generator[Instant, None, None]:
        """Wait for the next pass."""
        yield self

    def hold(self, waiting: Resumed) -> None:
        """Keep a worker until then."""
        if not self._waiting:
            trio.lowlevel.spawn_system_task(self._answer)
        self._waiting.append(waiting)

    async def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for worker in waiting:
            worker.resume()


class InstantSender:
    """A sender without a socket."""

    def __init__(self, instant: Instant) -> None:
        self._instant = instant

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:  # noqa: ARG002  the seam's arguments
        """One attempt."""
        await self._instant
        return Answer(200, [(b"content-type", b"application/json")], ANSWER)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt."""
        return await in_task(self.attempt(job, client_request_id))

    def release(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        """Nothing to close."""


class Shredder:
    """Encodes outcomes and drops them. in_place: those that came in their turn."""

    def __init__(self) -> None:
        self.in_place = 0

    async def emit(self, outcomes: list[Outcome]) -> None:
        """A group."""
        self.emit_now(outcomes)
        await trio.lowlevel.checkpoint()

    def emit_now(self, outcomes: list[Outcome]) -> None:
        """A group, at once."""
        b"".join(map(encode_batch, outcomes))
        if outcomes[0].index == self.in_place and outcomes[-1].index == self.in_place + len(outcomes) - 1:
            self.in_place += len(outcomes)


def flow_of(task: Task, rows: Sequence[RawRow], shredder: Shredder) -> FlowSettings:
    """The product's own flow between ends that touch nothing."""
    at = 0

    async def take_rows(most: int) -> list[RawRow]:
        nonlocal at
        await trio.lowlevel.checkpoint()
        taken, at = rows[at : at + most], at + most
        return list(taken)

    return FlowSettings(
        take_rows=take_rows,
        make_jobs=JobMaker(Template.compile(body("{prompt}")), "/v1/chat/completions", seen=SeenOnDisk(), count_tokens=False).make_jobs,
        lanes=Lanes([LaneState(Lane.from_limits(), task.in_flight)]),
        fetch=FetchSettings((Instant(),), draw=lambda: 0.5, utc=time.time, name_attempt=lambda index, attempt: f"bench-{index}-{attempt}"),
        store=PassThrough(shredder.emit),
        window=4 * task.in_flight,
    )


def spare_the_collector() -> None:
    """As the command does before a run; so the rows that were made beforehand cost the collector nothing either."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def main() -> None:
    """Run, and count every row that came out in its turn as right: there is but one answer."""
    task, shredder = Task.load(), Shredder()
    rows = [RawRow(line, 0, json.dumps({"prompt": prompt}).encode()) for line, prompt in enumerate(task.prompts, 1)]
    settings = flow_of(task, rows, shredder)
    spare_the_collector()
    ready = cpu_seconds()
    trio.run(run_flow, settings, Tallies(), trio.Event())
    done = cpu_seconds()
    task.finish(task.prompts[: shredder.in_place], ready=ready, done=done)


if __name__ == "__main__":
    main()

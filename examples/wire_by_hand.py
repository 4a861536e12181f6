"""The stages, imported one by one and wired in a nursery that you can see: a start for a pipeline of your own.

What goes where is in `docs/architecture.md`; `pipeline.run_flow` does the same with draining on top.
"""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

from pipeline import (
    Batch,
    Endpoint,
    FetchSettings,
    GateTally,
    Job,
    JobMaker,
    Lane,
    Lanes,
    LaneState,
    Ledger,
    MemoryStore,
    Notice,
    Outcome,
    PassThrough,
    RawRow,
    ReadTally,
    ReorderWindow,
    Report,
    RetryPolicy,
    SimulateConfig,
    Template,
    Ticket,
    content_of,
    fetch,
    gate,
    open_senders,
    order,
    read,
    record,
    serve_simulated,
    write,
)

if TYPE_CHECKING:
    from pipeline import OpenSender

WINDOW = 32  # rows in memory at most
WORKERS = 8  # attempts in flight at most

BODY = Template.compile({"model": "gpt-4o", "messages": [{"role": "user", "content": "{prompt}"}]})


class Prompts:
    """The input: gives at most as many rows as it is asked for, and none at the end."""

    def __init__(self, prompts: list[str]) -> None:
        self._left = [RawRow(line, 0, {"prompt": prompt}) for line, prompt in enumerate(prompts, 1)]

    async def take(self, most: int) -> list[RawRow]:
        """The next rows."""
        taken, self._left = self._left[:most], self._left[most:]
        await trio.lowlevel.checkpoint()
        return taken


async def print_them(outcomes: list[Outcome]) -> None:
    """The output: what becomes of finished rows."""
    await trio.lowlevel.checkpoint()
    for outcome in outcomes:
        print(outcome.index, content_of(outcome))


async def run_stages(prompts: list[str], open_sender: OpenSender) -> Ledger:
    """Six stages, six channels. Every channel has room for all that can ever be in it, so no circle of full ones can lock."""
    ledger = Ledger()
    give, credits_ = trio.open_memory_channel[int](WINDOW + 1)
    post, inbox = trio.open_memory_channel[list[Job] | Report | Notice](WINDOW + WORKERS + 1)
    grant, tickets = trio.open_memory_channel[list[Ticket]](WORKERS)
    end, outcomes = trio.open_memory_channel[Outcome](WINDOW)
    keep, recorded = trio.open_memory_channel[list[Outcome]](1)
    sort, ordered = trio.open_memory_channel[Batch[Outcome]](1)
    jobs = JobMaker(BODY, seen=MemoryStore())
    settings = FetchSettings(
        (open_sender,),
        draw=random.random,
        utc=time.time,
        name_attempt=lambda index, attempt: f"by-hand-{index}-{attempt}",
    )
    lanes = Lanes([LaneState(Lane.from_limits(requests_per_second=200), WORKERS)])
    store = PassThrough(print_them)  # or anything else that fulfils the port `Store`

    give.send_nowait(WINDOW)
    async with trio.open_nursery() as nursery:
        start = nursery.start_soon
        take = Prompts(prompts).take
        # A stage closes the channel ends that it was given; three stages send outcomes and two send to the gate, so each gets a clone.
        jobs_end, bad_rows = post.clone(), end.clone()
        start(partial(read, take, jobs.make_jobs, store=store, credits=credits_, jobs=jobs_end, outcomes=bad_rows, tally=ReadTally()))
        start(partial(gate, inbox, grant, end.clone(), lanes=lanes, policy=RetryPolicy(), tally=GateTally(), stop=trio.Event()))
        start(partial(fetch, tickets, post, end, settings=settings, store=store))
        start(partial(record, outcomes, keep, store=store, ledger=ledger, linger_seconds=0.0))
        start(partial(order, recorded, sort, window=ReorderWindow()))
        start(partial(write, ordered, store=store, credits=give))
    return ledger


async def main() -> None:
    """A hundred questions through stages wired by hand."""
    prompts = [f"What is {number} times {number}?" for number in range(100)]
    async with trio.open_nursery() as nursery:
        base_url: str = await nursery.start(serve_simulated, SimulateConfig(faults={"http_429": 0.1, "cut_body": 0.1}))
        async with open_senders(Endpoint(base_url)) as open_sender:
            ledger = await run_stages(prompts, open_sender)
        nursery.cancel_scope.cancel()
    print(f"{ledger.succeeded} of {ledger.total} rows succeeded")


if __name__ == "__main__":
    trio.run(main)

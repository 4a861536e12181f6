"""Our own sender, aimed at a server on loopback: one attempt, as a worker makes it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.edges.http import Counts, open_senders
from pipeline.edges.http.endpoint import Caps, Endpoint, Timeouts
from pipeline.records import Answer, Fault, Job
from tests.fakes.servers import Peer, Request, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pipeline.ports import Sender

    Script = Callable[[Peer, Request], Awaitable[None]]

BODY = b'{"model": "m", "messages": []}'
JOB = Job(0, "row-0", "POST", "/v1/chat/completions", BODY, 1, 1)
PATIENT = Timeouts(connect=5, idle=5, total=10)


@asynccontextmanager
async def sender_to(
    url: str, *, timeouts: Timeouts = PATIENT, caps: Caps | None = None, counts: Counts | None = None
) -> AsyncIterator[Sender]:
    endpoint = Endpoint(url, ("authorization", "Bearer k"), timeouts=timeouts, caps=caps or Caps())
    async with open_senders(endpoint, counts=counts) as open_sender:
        sender = open_sender()
        yield sender
        sender.close()
        sender.close()


async def reply_of(script: Script, *, timeouts: Timeouts = PATIENT, caps: Caps | None = None, job: Job = JOB) -> Answer | Fault:
    async with serve(script) as server, sender_to(server.url, timeouts=timeouts, caps=caps) as sender:
        return await sender.send(job, "id-1")


def job_of(body: bytes) -> Job:
    return Job(0, "row-0", "POST", "/v1/chat/completions", body, 1, 1)

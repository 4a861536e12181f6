"""A whole run on virtual time against the embedded provider: real stages, and its limits, keys, outages and faults without a socket."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from pipeline.records import Answer, FailureKind, Fault, FaultCause
from pipeline.simulate import Fault as SimulatedFault
from pipeline.simulate import Provider, Request, SimulateConfig
from pipeline.simulate.schedule import times_refused
from tests.fakes.virtual_run import VirtualRun

if TYPE_CHECKING:
    from pipeline.records import Job
    from pipeline.simulate import Exchange

BROKEN = {
    SimulatedFault.RESET_BEFORE: FaultCause.CLOSED,
    SimulatedFault.RESET_IN_BODY: FaultCause.CLOSED,
    SimulatedFault.CLOSE_BEFORE: FaultCause.CLOSED,
    SimulatedFault.CUT_BODY: FaultCause.CLOSED,
    SimulatedFault.CUT_CHUNKED: FaultCause.CLOSED,
    SimulatedFault.GARBAGE: FaultCause.PROTOCOL,
}
ENDLESS = {
    SimulatedFault.STALL,
    SimulatedFault.STALL_IN_BODY,
    SimulatedFault.DRIP,
    SimulatedFault.DRIP_HEADERS,
    SimulatedFault.STREAM_STALL,
    SimulatedFault.STREAM_PING_ONLY,
}


@define
class SimulatedRun(VirtualRun):
    """A `VirtualRun` of which the provider is a simulated one. total_seconds: the deadline of an attempt."""

    simulate: SimulateConfig = field(factory=SimulateConfig)
    total_seconds: float = 600.0
    provider: Provider = field(init=False)
    _refused: list[tuple[float, float]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.provider = Provider(self.simulate)
        self._refused = times_refused(self.simulate.outages)

    async def answer(self, job: Job) -> Answer | Fault:
        now = trio.current_time()
        assert self.stopped_at is None or now == self.stopped_at, "an attempt left after the stop"
        self.provider.start(0.0)
        self.sent.append((now, job.index, job.tokens))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if any(start <= now < end for start, end in self._refused):
                await trio.lowlevel.checkpoint()
                return Fault(FailureKind.CONNECTION, "refused", maybe_sent=False, cause=FaultCause.REFUSED)
            return await self._attempt(job, now)
        finally:
            self.in_flight -= 1

    async def _attempt(self, job: Job, now: float) -> Answer | Fault:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"row {job.index}"}], "max_tokens": job.tokens}
        request = Request("POST", "/v1/chat/completions", [], json.dumps(body).encode())
        exchange = self.provider.receive(request, now=now, wall=self.utc())
        finished = False
        try:
            with trio.move_on_after(self.total_seconds):
                await trio.sleep(math.inf if exchange.fault in ENDLESS else exchange.wait_seconds)
                finished = True
        finally:
            self.provider.left(exchange, abandoned=not finished)
        if not finished:
            return Fault(FailureKind.TIMEOUT, "no whole answer in time", maybe_sent=True, cause=FaultCause.TOTAL_TIMEOUT)
        return _reply(exchange, now)


def _reply(exchange: Exchange, sent_at: float) -> Answer | Fault:
    if exchange.fault in BROKEN:
        return Fault(FailureKind.CONNECTION, "broken by the plan", maybe_sent=True, cause=BROKEN[exchange.fault])
    headers = [(name.encode(), value.encode()) for name, value in exchange.reply.headers]
    return Answer(exchange.reply.status, headers, exchange.reply.body, sent_at=sent_at)

"""Attempts on lanes with shared limits ask before they leave late, over every kind of sender; what may not leave reaches nobody."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
import trio
import trio.testing
from attrs import define, field

from pipeline.core.pacing.lane import Bound, Limit, Wait
from pipeline.core.pacing.leased import LATE_SECONDS, MOST_IN_HAND, LeasedLane
from pipeline.core.pacing.permits import Reply
from pipeline.edges.http import open_senders
from pipeline.edges.http.endpoint import Endpoint
from pipeline.light import InTask, ask_before, in_task
from pipeline.messages import Change, GateMessage, Ticket
from pipeline.records import Answer, Fault, FaultCause, Transport
from pipeline.stages.leaving import Leaving
from pipeline.stages.mailbox import Mailbox
from tests.fakes.senders import JOB
from tests.fakes.servers import WHOLE, answering, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline.ports import LightSender, Sender

LIMIT = Limit(Bound.REQUESTS_PER_SECOND, 100, 1.0)


@define
class Asked:
    """A `Departure` that notes what it is asked. allows: what it says."""

    allows: bool = True
    asked: list[str] = field(factory=list)

    def delays(self) -> None:
        self.asked.append("delays")

    async def may_leave(self) -> bool:
        self.asked.append("leaves")
        return await InTask(self._answer)

    async def _answer(self) -> bool:
        await trio.lowlevel.checkpoint()
        return self.allows


async def one(sender: Sender) -> Answer | Fault:
    """One attempt, as a light task makes it."""
    attempt = cast("LightSender", sender).attempt
    return await in_task(attempt(JOB, "i"))


@pytest.mark.parametrize("transport", Transport)
async def test_an_attempt_asks_when_its_connection_is_open_and_before_each_request(transport: Transport) -> None:
    asked = Asked()

    async with serve(answering(WHOLE)) as server, open_senders(Endpoint(server.url), transport=transport) as open_sender:
        sender = open_sender()
        ask_before(sender, asked)
        replies = [await one(sender) for _ in range(2)]
        sender.close()

    assert all(isinstance(reply, Answer) for reply in replies)
    first = ["delays", "leaves"]
    assert asked.asked == ([*first, "leaves"] if transport is Transport.OWN else first * 2)


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("before", [0, 1])
async def test_an_attempt_that_may_not_leave_reaches_nobody_and_the_next_one_does(transport: Transport, before: int) -> None:
    asked = Asked()

    async with serve(answering(WHOLE)) as server, open_senders(Endpoint(server.url), transport=transport) as open_sender:
        sender = open_sender()
        ask_before(sender, asked)
        for _ in range(before):
            await one(sender)
        asked.allows = False
        stayed = await one(sender)
        sent = len(server.requests)
        asked.allows = True
        went = await one(sender)
        sender.close()

    assert isinstance(stayed, Fault)
    assert (stayed.cause, stayed.maybe_sent) == (FaultCause.NOT_LEFT, False)
    assert sent == before
    assert isinstance(went, Answer)
    assert len(server.requests) == before + 1


@asynccontextmanager
async def a_gate() -> AsyncIterator[tuple[LeasedLane, Leaving]]:
    """A lane with ten permits, and a gate that only makes changes."""
    lane = LeasedLane([LIMIT])
    now = trio.current_time()
    lane.receive(Reply([[(0.0, 10)]], [0]), now, now + 3.0)
    post, inbox = Mailbox[GateMessage](100).ends()

    async def gate() -> None:
        while True:
            for message in await inbox.take():
                assert isinstance(message, Change)
                message.apply(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gate)
        yield lane, Leaving({0: lane}, post)
        nursery.cancel_scope.cancel()


def given(lane: LeasedLane) -> Ticket:
    grant = lane.admit(trio.current_time(), 0)
    assert not isinstance(grant, Wait)
    return Ticket(JOB, 1, grant, left=trio.current_time())


@pytest.mark.usefixtures("autojump_clock")
async def test_a_permit_does_not_move_before_its_attempt_has_left() -> None:
    async with a_gate() as (lane, leaving):
        departure = leaving.departure(0, object(), trio.current_time)
        assert departure is not None
        ticket = given(lane)
        departure.begin(ticket)
        assert lane.demand(trio.current_time()).ages == [[]]  # nobody knows yet whether it leaves at once
        departure.delays()
        leaving.handed_out([ticket])
        await trio.sleep(0.5)
        assert lane.held == [9]

        assert await in_task(departure.may_leave())

        left = trio.current_time()
        [[(wait, count)]] = lane.demand(left).ages
        assert (lane.held, count) == ([10], 1)
        assert 1.0 <= wait < 1.05  # a period after it left, not after its ticket


@pytest.mark.usefixtures("autojump_clock")
async def test_an_attempt_that_leaves_at_once_is_not_asked_about() -> None:
    async with a_gate() as (lane, leaving):
        departure = leaving.departure(0, object(), trio.current_time)
        assert departure is not None
        ticket = given(lane)
        departure.begin(ticket)

        assert await in_task(departure.may_leave())

        leaving.handed_out([ticket])
        await trio.sleep(0.01)
        [[(_, count)]] = lane.demand(trio.current_time()).ages
        assert count == 1


async def test_an_attempt_of_a_process_that_slept_does_not_leave_with_permits_of_others(autojump_clock: trio.testing.MockClock) -> None:
    async with a_gate() as (lane, leaving):
        departure = leaving.departure(0, object(), trio.current_time)
        assert departure is not None
        ticket = given(lane)
        departure.begin(ticket)
        await trio.sleep(10 * LATE_SECONDS)
        assert await in_task(departure.may_leave())
        departure.begin(given(lane))
        autojump_clock.jump(5.0)

        assert not await in_task(departure.may_leave())


@pytest.mark.parametrize("alone", [True, False])
async def test_tickets_that_were_handed_out_are_counted_by_lane(*, alone: bool) -> None:
    """A run with one lane need not look at each ticket."""
    lane = LeasedLane([LIMIT])
    lane.receive(Reply([[(0.0, 10)]], [0]), 0.0)
    post, inbox = Mailbox[GateMessage](8).ends()
    leaving = Leaving({0: lane}, post, alone=lambda: alone)
    group = [given(lane)] + [Ticket(JOB, 1, None, lane=1) for _ in range(3 * (not alone))]

    leaving.handed_out(group)
    for message in await inbox.take():
        assert isinstance(message, Change)
        message.apply(trio.current_time())

    assert lane.at_once == MOST_IN_HAND

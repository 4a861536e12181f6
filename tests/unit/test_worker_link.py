"""A worker's link to its coordinator, without a cluster: a flow that ends while it is asked, and a worker that was given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import trio
import trio.testing

from pipeline.core.cluster.talk import SharedLane
from pipeline.core.pacing.lane import Bound, Limit
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.leased import LeasedLane
from pipeline.engines.ray.coordinator import Coordinator, Setup
from pipeline.engines.ray.link import Link
from pipeline.stages.leasing import keep_leases
from pipeline.stages.mailbox import Mailbox

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.messages import GateMessage

LIMIT = Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0)
ROUNDS = 30  # trio runs the tasks of one round in any order; each order comes up by then


async def test_a_flow_that_ends_while_its_lane_is_asked_does_not_fail_the_worker() -> None:
    """The post of a flow is closed one step after the link has seen that the lane is still there."""
    for _ in range(ROUNDS):
        link = Link(lambda data, park: data, "w", lanes=1, expiry=3.0)
        box: Mailbox[GateMessage] = Mailbox(8)
        post, inbox = box.ends()
        lane = LaneState(LeasedLane([LIMIT]), 9)
        async with trio.open_nursery() as nursery:
            flow = trio.CancelScope()

            async def keep(flow: trio.CancelScope = flow, lane: LaneState = lane) -> None:
                with flow:
                    await keep_leases({lane: link.keeper(0, 0)}, post)  # noqa: B023  it ends within the round

            nursery.start_soon(keep)
            await trio.testing.wait_all_tasks_blocked()
            asked = link._flows[0].lanes[0]
            nursery.start_soon(link._ask, asked, lambda now: now)
            flow.cancel()
            inbox.close()


def test_a_worker_that_was_given_up_is_told_so_and_stops(tmp_path: Path) -> None:
    """Its answers must count although they come from no message that was taken."""
    setup = msgspec.msgpack.encode(Setup([SharedLane("", LeasedLane([LIMIT]).shared, 9)], [0], 3.0, str(tmp_path)))

    coordinator = Coordinator(setup)

    async def main() -> Link:
        link = Link(lambda data, park: asyncio.run(coordinator.poll(data, 0.0)), "w", lanes=1, expiry=3.0)
        await link._exchange(0.0)
        coordinator._core.lost("w", 0.0, may_run=True)
        with trio.fail_after(5):
            await link.run()
        return link

    assert trio.run(main).dead

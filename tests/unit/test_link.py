"""A worker's side of the message to the coordinator: permits that were given always reach the lane that they are for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import msgspec
import trio
import trio.testing

from pipeline.core.cluster.talk import LaneAnswer, Poll, Told
from pipeline.core.pacing.lane import Limit
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.meter import Bound
from pipeline.core.pacing.permits import Reply
from pipeline.engines.ray.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def ask(do: Callable[[float], T]) -> T:
    """What a gate does with a change."""
    await trio.lowlevel.checkpoint()
    return do(trio.current_time())


def test_permits_in_the_answer_to_an_older_message_reach_a_flow_that_joined_by_a_newer_one() -> None:
    """Messages may overtake one another: the newer one is taken first, and the answer to the older one has the permits."""
    lane = LeasedLane([Limit(Bound.REQUESTS_PER_SECOND, 50, 1.0)])
    joined = threading.Event()
    holders: list[str] = []

    def call(message: bytes, park: float) -> bytes:
        poll = msgspec.msgpack.decode(message, type=Poll)
        if park and not poll.holders:  # the older message: its answer comes once the newer one was taken
            joined.wait(10)
            answer = LaneAnswer(Reply([[(0.0, 50)]], [0]), slots=5)
            return msgspec.msgpack.encode(Told(1, {holders[0]: [answer]}))
        holders.extend(poll.holders)
        joined.set()
        nothing = LaneAnswer(Reply([[]], [0]), slots=5)
        return msgspec.msgpack.encode(Told(1, {name: [nothing] for name in poll.holders}))

    async def main() -> None:
        link = Link(call, "w0", lanes=1, expiry=3.0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await trio.testing.wait_all_tasks_blocked()  # the older message is on its way
            link.join(0, 0, LaneState(lane, 5), ask)
            with trio.fail_after(5):
                while lane.held != [50]:
                    await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)

    assert lane.held == [50]


def test_the_worker_is_woken_by_what_is_new_to_it_alone() -> None:
    """A message is answered four times a second; a worker that looked each time would wake as often for nothing."""
    told = [Told(1, shards=[3]), Told(1, shards=[3]), Told(1, shards=[3], stop="enough")]
    woken: list[int] = []

    async def main() -> None:
        link = Link(lambda data, park: msgspec.msgpack.encode(told[len(woken)]), "w0", lanes=1, expiry=3.0)
        for _ in told:
            news = link.news
            await link._exchange(0.0)
            woken.append(news.is_set())
        assert (link.shards, link.stop) == ([3], "enough")

    trio.run(main)

    assert woken == [True, False, True]

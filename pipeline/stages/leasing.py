"""Keeps the shares of limits that other processes use too: reports what each lane holds and wants, and gives it what it may use.

The gate alone touches lanes, so this asks it to: a report is two changes, one that reads the lane and one that takes the answer.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.pacing.permits import GivenUpError
from pipeline.messages import Change
from pipeline.ports import LimitLease

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.messages import GateMessage
    from pipeline.ports import LaneKeeper
    from pipeline.stages.mailbox import Post

T = TypeVar("T")

REPORT_SECONDS = 0.1
LEAVE_SECONDS = 2.0  # for giving everything back at the end; without it the others wait until this process is given up for dead

_log = logging.getLogger(__name__)


async def keep_leases(leases: Mapping[LaneState, LimitLease | LaneKeeper], post: Post[GateMessage]) -> None:
    """Report for every lane until cancelled, then give everything back. post: must have room for a message per lane."""
    with post:
        async with trio.open_nursery() as nursery:
            for state, lease in leases.items():
                if isinstance(lease, LimitLease):
                    assert isinstance(state.limits, LeasedLane)
                    nursery.start_soon(_keep, state.limits, lease, post)
                else:
                    nursery.start_soon(lease.keep, state, partial(_ask, post))


async def _keep(lane: LeasedLane, lease: LimitLease, post: Post[GateMessage]) -> None:
    unheard = False
    try:
        while True:
            begun, demand = await _ask(post, lambda now: (now, lane.demand(now)))
            try:
                reply = await trio.to_thread.run_sync(lease.report, demand)
            except GivenUpError:
                await _ask(post, lane.give_all_back)  # they are others' by now
                continue
            except OSError as error:
                if not unheard:
                    _log.warning("a shared limit cannot be reached, and nothing leaves meanwhile: %s", error)
                unheard = True
            else:
                unheard = False
                await _ask(post, partial(lane.receive, reply, valid_until=begun + lease.valid_seconds))
            await trio.sleep(REPORT_SECONDS)
    except trio.BrokenResourceError:
        pass  # the gate has ended
    finally:
        with trio.move_on_after(LEAVE_SECONDS, shield=True):
            try:
                await trio.to_thread.run_sync(lease.leave, lane.give_all_back(trio.current_time()))
            except OSError as error:
                _log.warning("the share of a limit was not given back, the others get it in some seconds: %s", error)


async def _ask(post: Post[GateMessage], do: Callable[[float], T]) -> T:
    """Let the gate do something with a lane, and give what came of it."""
    done = trio.Event()
    results: list[T] = []

    def apply(now: float) -> None:
        results.append(do(now))
        done.set()

    post.send_nowait(Change(apply))
    await done.wait()
    return results[0]

"""Asks the gate before an attempt leaves late, on lanes whose limits other processes use too.

Why it is needed. A ticket is not yet a departure: its worker may have to connect first, or the process was held up. What the lane
counts is the ticket, and the report corrects it. That is too late for a permit that has moved to another process meanwhile: there it
is free a period after the ticket, which may be before a period after the departure. So on these lanes

- an attempt that cannot leave at once says so (`delays`), and asks before it leaves (`may_leave`). Meanwhile its permits cannot move.
- when all tickets of a group were handed out, the gate is told (`handed_out`): what has not said so by then has left.

The messages take the way of the reports, so the gate reads them in order. Lanes of this process alone cost nothing: no `Departure`
is made for them.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import trio

from pipeline.core.pacing.leased import LATE_SECONDS, LeasedLane
from pipeline.light import InTask, ask_before
from pipeline.messages import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.messages import GateMessage, Grant, Ticket
    from pipeline.stages.mailbox import Outlet


class Departure:
    """Asks for the attempts of one worker, one after the other. See `ports.Departure`."""

    __slots__ = ("_clock", "_lane", "_left", "_must_ask", "_reports", "_ticket")

    def __init__(self, lane: LeasedLane, reports: Outlet[GateMessage], clock: Callable[[], float]) -> None:
        self._lane = lane
        self._reports = reports
        self._clock = clock
        self._ticket: Ticket | None = None
        self._must_ask = self._left = False

    def begin(self, ticket: Ticket) -> None:
        """The worker sets out with a ticket."""
        self._ticket = ticket
        self._must_ask = self._left = False

    def delays(self) -> None:
        """See `ports.Departure`."""
        if not self._must_ask:
            self._must_ask = True
            self._tell(self._lane.delays)

    async def may_leave(self) -> bool:
        """See `ports.Departure`. What has left already, and follows a redirect, is not asked for again."""
        assert self._ticket is not None
        if not self._must_ask:
            if self._left or self._clock() - self._ticket.left <= LATE_SECONDS:
                self._left = True
                return True
            self.delays()
        self._left = await InTask(self._ask)
        self._must_ask = not self._left
        return self._left

    async def _ask(self) -> bool:
        answered, answers = trio.Event(), list[bool]()

        def ask(grant: Grant, now: float) -> None:
            answers.append(self._lane.departs(grant, now))
            answered.set()

        self._tell(ask)
        await answered.wait()
        return answers[0]

    def _tell(self, change: Callable[[Grant, float], None]) -> None:
        assert self._ticket is not None
        assert self._ticket.grant is not None
        self._reports.send_nowait(Change(partial(change, self._ticket.grant)))


class Leaving:
    """What the workers of a flow and its gate tell each other of attempts that leave. Used by the fetch stage.

    lanes: those whose limits other processes use too, by their index. reports: the stage's own end, which it closes. alone: the run has
    no other lanes.
    """

    def __init__(self, lanes: Mapping[int, LeasedLane], reports: Outlet[GateMessage], *, alone: Callable[[], bool] = lambda: False) -> None:
        self._lanes = lanes
        self._reports = reports
        self._alone = alone
        self._first = next(iter(lanes.values()))

    def departure(self, lane: int, sender: object, clock: Callable[[], float]) -> Departure | None:
        """What a worker's sender asks from now on; None if its lane shares nothing."""
        leased = self._lanes.get(lane)
        if leased is None:
            return None
        departure = Departure(leased, self._reports, clock)
        ask_before(sender, departure)
        return departure

    def handed_out(self, group: Sequence[Ticket]) -> None:
        """Tell the gate that workers have set out with these tickets, and all before."""
        left = group[-1].left
        if self._alone():
            self._reports.send_nowait(Change(partial(self._first.handed_out, len(group), left)))
            return
        counts = Counter(ticket.lane for ticket in group)

        def tell(now: float) -> None:
            for index, lane in self._lanes.items():
                lane.handed_out(counts[index], left, now)

        self._reports.send_nowait(Change(tell))


def leaving_of(states: Iterable[LaneState], reports: Outlet[GateMessage], *, alone: Callable[[], bool]) -> Leaving | None:
    """For these lanes, all of which are shared; None where none of them has a limit, so that no permits can move. alone: see `Leaving`."""
    lanes = {}
    for state in states:
        assert isinstance(state.limits, LeasedLane)
        if state.limits.shared:
            lanes[state.index] = state.limits
    return Leaving(lanes, reports, alone=alone) if lanes else None

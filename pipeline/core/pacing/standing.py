"""Which lanes take rows: those that are held, wait, stop or come back, and what becomes of the run when none is left. Pure.

Why a lane is held is decided elsewhere (`health`, `refusals`, `judge`); here is what follows for the others. Rows that it held go to
another lane, if one is left: they are given back to the caller.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pipeline.core.pacing import reasons
from pipeline.core.pacing.health import State
from pipeline.records import Scope

if TYPE_CHECKING:
    from pipeline.core.pacing.event_log import EventLog
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.core.pacing.refusals import Stop
    from pipeline.messages import Report


class Standing:
    """The lanes of a run as they stand. stop: why the run must stop, or None. log: takes what observers are to be told, if any."""

    def __init__(self, lanes: Lanes, log: EventLog | None) -> None:
        self.lanes = lanes
        self.log = log
        self.stop: str | None = None

    def latency_beside(self, state: LaneState) -> float:
        """How long nearly all answers of the other lanes take that work, the slowest of them; inf if nothing is known of them."""
        if self.lanes.alone is not None:
            return inf
        known = [other.health.latency.p95 for other in self.lanes.states if other is not state and other.working]
        return max([p95 for p95 in known if p95 < inf], default=inf)

    def others(self, state: LaneState) -> bool:
        """Whether another lane works, so that rows may go there."""
        return any(other.working and other.refused is None for other in self.lanes.states if other is not state)

    def stops(self, state: LaneState, stop: Stop, now: float) -> list[Report]:
        """Every row of a lane gets the same answer. A lane may come back, if there are others to go on with meanwhile."""
        reason = reasons.refusal(state, stop)
        if stop.report.scope is Scope.QUOTA:
            state.out = reason
            return self.went_out(state, now)
        return self._rests(state, reason, stop.report.message, now)

    def waits(self, state: LaneState, cause: str, wait: float, now: float) -> list[Report]:
        """A lane asks to wait for longer than the run may. Others go on meanwhile; if there are none, the run stops."""
        return self._rests(state, reasons.long_wait(state, cause, wait, others=self.others(state)), cause, now)

    def went_out(self, state: LaneState, now: float) -> list[Report]:
        """Act on it that a lane is used no longer: its rows go elsewhere, or the run stops."""
        state.unhandled = False
        self.is_held(state, now)
        return self._leave(state)

    def is_held(self, state: LaneState, now: float) -> None:
        """A lane takes no rows for now."""
        if state.held_since is None:
            state.held_since = now
            if self.log is not None:
                self.log.lane_out(state, now)

    def is_back(self, state: LaneState, now: float) -> None:
        """A lane has answered; it is back unless the answer was a late one to an attempt from before."""
        if state.held_since is not None and state.out is None and state.health.state is not State.HELD:
            state.out_seconds += now - state.held_since
            if self.log is not None:
                self.log.lane_back(state, now, now - state.held_since)
            state.held_since = state.refused = None

    def _rests(self, state: LaneState, reason: str, cause: str, now: float) -> list[Report]:
        """A lane takes no rows but a probe now and then. cause: what it is held for, in its own words."""
        state.refused = reason
        state.health.hold(now, cause)
        self.is_held(state, now)
        return self._leave(state)

    def _leave(self, state: LaneState) -> list[Report]:
        """The rows that a lane held, to be sent elsewhere; if there is no other lane, the run stops."""
        if any(other.usable and other.refused is None for other in self.lanes.states):
            return state.refusals.renew()
        if self.stop is None:
            told = [other.out or other.refused for other in self.lanes.states if other is not state]
            self.stop = "; ".join([state.out or state.refused or "", *(reason for reason in told if reason)])
        return []

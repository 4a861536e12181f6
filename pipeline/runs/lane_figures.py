"""What progress and summary say of the lanes of a run, and of the share of their limits that was used."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.going import LaneWait
from pipeline.core.pacing.findings import shown
from pipeline.core.pacing.waits import NO_ROW, shares
from pipeline.summaries import LaneProgress, LaneSummary

if TYPE_CHECKING:
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.stages.gate_tally import GateTally

LONG_ENOUGH_SECONDS = 2.0  # of sending, to tell what share of the limits was used


class LaneFigures(Struct, frozen=True):
    """The figures of all lanes at one moment. tally: what the gate counted. now: the clock of that moment."""

    tally: GateTally
    now: float

    @property
    def limited_by(self) -> dict[str, float]:
        """Shares of the run's waiting time, by what it waited for."""
        return shares(self.tally.bound_seconds, self._waited)

    @property
    def attained(self) -> float | None:
        """Attempts that left, of those that the limits on requests of all lanes allowed; None where one of them has no limit."""
        allowed = [self._allowed(state) for state in self.tally.lanes]
        return self._share(self.tally.attempts, sum(each or 0.0 for each in allowed)) if None not in allowed else None

    def progress(self) -> tuple[LaneProgress, ...]:
        """Where each lane stands."""
        return tuple(map(self._progress, self.tally.lanes))

    def summary(self) -> tuple[LaneSummary, ...]:
        """What each lane did."""
        return tuple(map(self._summary, self.tally.lanes))

    def waits(self) -> tuple[LaneWait, ...]:
        """What each of several lanes waits for, for the journal; called in any thread."""
        states = self.tally.lanes
        return tuple(map(self._wait, states)) if len(states) > 1 else ()

    @property
    def _waited(self) -> float:
        return sum(self.tally.bound_seconds.values())

    @property
    def _until(self) -> float:
        """Up to when attempts might have left: up to now while rows wait, else up to the last one."""
        rows_wait = self.tally.stopped is None and self.tally.bound not in NO_ROW
        return self.now if rows_wait and self.tally.first_at else self.tally.last_at

    def _allowed(self, state: LaneState) -> float | None:
        """Requests that a lane's limits allowed while the run sent, those limits included that were found."""
        learned = state.limits.learned
        found = None if learned is None or learned.requests_per_minute is None else learned.requests_per_minute / 60
        return state.allowance.over(self.tally.first_at, self._until, found)

    def _share(self, attempts: int, allowed: float | None) -> float | None:
        """Of what was allowed. The first attempt leaves at the beginning of that time, and so before anything of it was allowed."""
        if not allowed or self._until - self.tally.first_at < LONG_ENOUGH_SECONDS:
            return None
        return round(max(0, attempts - 1) / allowed, 4)

    def _wait(self, state: LaneState) -> LaneWait:
        out = self._out_for(state)
        limited_by = shares(state.waits.seconds, self._waited)
        return LaneWait(state.name, state.waits.bound, None if out is None else round(out, 1), limited_by, self._attained(state))

    def _out_for(self, state: LaneState) -> float | None:
        return None if state.held_since is None else max(0.0, self.now - state.held_since)

    def _attained(self, state: LaneState) -> float | None:
        return self._share(state.attempts, self._allowed(state))

    def _progress(self, state: LaneState) -> LaneProgress:
        pace, _ = state.limits.pace
        return LaneProgress(
            state.name,
            state.attempts,
            state.throttled,
            state.limits.in_flight,
            state.allowed,
            None if pace == inf else pace,
            self._out_for(state),
            state.waits.bound,
            shares(state.waits.seconds, self._waited),
            self._attained(state),
            state.out or "",
            state.succeeded,
        )

    def _summary(self, state: LaneState) -> LaneSummary:
        pace, kind, cap = shown(state.limits.learned)
        return LaneSummary(
            state.name,
            state.attempts,
            state.succeeded,
            state.throttled,
            pace,
            kind,
            round(state.out_seconds + (self._out_for(state) or 0.0), 3),
            state.out or state.refused,
            cap,
            shares(state.waits.seconds, self._waited),
            self._attained(state),
        )

"""Rows that have had all their attempts while nothing else was answered, so that nobody knows yet whose fault it was.

They are held until it is known:

- An attempt of another row, that left later, is answered. So the lane works, and the rows are written as failed.
- The lane is held. So it did not work, and the rows are sent again with all their attempts.
- Nothing else is left to send. Then nothing will tell, and they are judged by themselves. One or two rows of a server that
  has answered others are at fault themselves. More of them hold the lane, and are its probes. If they are still fewer than those
  that hold a lane, and a server itself answers them with an error (so it is there, which a gateway's 502 or 503 does not
  say), they are written as failed after a fifth of the patience. Everything else waits until the patience is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.pacing.first_attempts import FEW_ROWS
from pipeline.core.pacing.health import IN_A_ROW
from pipeline.messages import FailedAttempt
from pipeline.records import FaultCause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.messages import Report

NO_SERVER = frozenset(
    {FaultCause.REFUSED, FaultCause.UNREACHABLE, FaultCause.DNS, FaultCause.TLS_OTHER, FaultCause.PROXY, FaultCause.CONNECT_TIMEOUT}
)
GATEWAY = frozenset({502, 503, 504, *range(520, 531)})  # 520 to 530 are Cloudflare's words for a server that it cannot reach; 529 is "busy"


class Unsure:
    """The rows that are held so: `held`. patience: seconds that the run waits while nothing works."""

    def __init__(self, states: Sequence[LaneState], patience: float) -> None:
        self._states = states
        self._patience = patience
        self.held: list[Report] = []
        self._probing_since: dict[int, float] = {}  # rows that were left over, and are tried again although nothing else is

    def hold(self, report: Report) -> None:
        """Hold a row."""
        self.held.append(report)

    def in_outage(self, failed: FailedAttempt) -> bool:
        """Whether an attempt left while its lane did not work."""
        return self._states[failed.lane].health.in_outage(failed.number)

    def tells(self, failed: tuple[FailedAttempt, ...]) -> bool:
        """Whether others were answered after one of these attempts had left, so that they tell of the row."""
        return any(self._states[each.lane].health.last_good > each.number for each in failed)

    def known(self) -> list[Report]:
        """Give back the rows of which it is known that they are at fault themselves."""
        known = [report for report in self.held if self.tells((*report.ticket.failed, last_of(report)))]
        self.held = [report for report in self.held if report not in known]
        return known

    def from_outage(self) -> list[Report]:
        """A lane is held: give back the rows whose last attempt met what holds it."""
        met = [report for report in self.held if self.in_outage(last_of(report))]
        self.held = [report for report in self.held if report not in met]
        return met

    def idle(self, now: float) -> tuple[list[Report], list[list[Report]]]:
        """Nothing else is left to send: give back the rows that are at fault, and those of each lane that is to be held."""
        held, self.held = self.held, []
        own: list[Report] = []
        probes = []
        for state in self._states:
            mine = [report for report in held if report.ticket.lane == state.index]
            if not mine:
                continue
            if self._patience <= 0 or (state.health.served and len(mine) <= FEW_ROWS):
                own.extend(mine)
                continue
            probes.append(mine)
            if state.health.served and len(mine) < IN_A_ROW:
                for report in mine:
                    self._probing_since.setdefault(report.ticket.job.index, now)
        return own, probes

    def was_left_over(self, report: Report, now: float) -> bool:
        """Whether a row that was left over has failed for so long, and in such a way, that it is at fault itself."""
        since = self._probing_since.get(report.ticket.job.index)
        if since is None or report.status in GATEWAY or report.cause in NO_SERVER:
            return False
        return now - since >= self._patience / 5


def last_of(report: Report) -> FailedAttempt:
    """The attempt that a report tells of."""
    return FailedAttempt(report.ticket.lane, report.ticket.number, report.scope)

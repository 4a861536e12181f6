"""Gathers what observers are to be told, until the gate hands it over. It exists only in a run that is observed. Pure.

Everything that a record of an attempt needs is known in one place: the gate's ticket says when the attempt left and what held it
back, the worker's report what came of it, and the judge what that means for the row.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, PaceChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.events import RunEvent
    from pipeline.messages import Report
    from pipeline.records import Job, Usage

NOTABLE = 0.01  # of a pace: a smaller change of it is not told


class EventLog:
    """What happened since it was last handed over: `records`, `answered` and `events`, each with the oldest first.

    cost_of: what an attempt cost that used so many tokens on the lane of this name; None where no price is known. answered: reports on
    attempts that gave their rows a result, if `in_groups` says that somebody takes them so. one_by_one: whether these get records too.
    """

    __slots__ = ("_cost_of", "_in_groups", "_one_by_one", "_paces", "answered", "events", "records")

    def __init__(
        self, cost_of: Callable[[Job, Usage, str], float | None] | None = None, *, in_groups: bool = False, one_by_one: bool = True
    ) -> None:
        self._cost_of = cost_of
        self._in_groups, self._one_by_one = in_groups, one_by_one
        self.answered: list[Report] = []
        self._paces: dict[int, tuple[float, str]] = {}  # the last one told of each lane
        self.records: list[AttemptRecord] = []
        self.events: list[RunEvent] = []

    def succeeded(self, report: Report) -> None:
        """Note an attempt that the provider answered, whether the answer was of use or not."""
        if report.ask_again is not None:
            self._note(report, AttemptResult.RETRIED, 0.0)
        elif report.stop is not None:
            self._note(report, AttemptResult.UNDECIDED, None)
        elif report.code:
            self._note(report, AttemptResult.FAILED, None)
        else:
            self.answered_together((report,))

    def answered_together(self, reports: Sequence[Report]) -> None:
        """Note attempts that gave their rows a result."""
        if self._in_groups:
            self.answered += reports
        if self._one_by_one:
            for report in reports:
                self._note(report, AttemptResult.ANSWERED, None)

    def costs(self, reports: Sequence[Report]) -> list[float | None] | None:
        """What these attempts cost; None where no price is known."""
        cost_of = self._cost_of
        return None if cost_of is None else [cost_of(each.ticket.job, each.usage, each.ticket.lane_name) for each in reports]

    def lane_out(self, state: LaneState, now: float) -> None:
        """Note that a lane is used no longer, or is probed from now on."""
        probe_in = None if state.out is not None else max(0.0, state.health.next_probe() - now)
        self.events.append(LaneOut(now, state.out or state.refused or state.health.cause, probe_in, state.name))

    def lane_back(self, state: LaneState, now: float, seconds: float) -> None:
        """Note that a lane is used again. seconds: for how long it was out."""
        self.events.append(LaneBack(now, seconds, state.name))

    def failed(self, report: Report, retry_in: float | None, *, written: bool) -> None:
        """Note an attempt that brought no result. retry_in: as in the record. written: the row has failed."""
        result = AttemptResult.FAILED if written else AttemptResult.UNDECIDED if retry_in is None else AttemptResult.RETRIED
        self._note(report, result, retry_in)

    def look(self, now: float, states: Sequence[LaneState]) -> None:
        """Note which lanes have another pace than at the last look."""
        for state in states:
            rate, why = pace = state.limits.pace
            told, reason = self._paces.get(state.index, (inf, why))
            if why == reason and (rate == told or abs(rate - told) < NOTABLE * told < inf):
                continue
            self._paces[state.index] = pace
            self.events.append(PaceChanged(now, None if rate == inf else round(rate, 3), why, state.name))

    def _note(self, report: Report, result: AttemptResult, retry_in: float | None) -> None:
        ticket, usage, failure = report.ticket, report.usage, report.failure
        job = ticket.job
        record = AttemptRecord(
            job.index,
            job.custom_id,
            ticket.attempt,
            ticket.lane_name,
            ticket.number,
            ticket.held_by,
            ticket.turn,
            ticket.left,
            report.sent_at,
            None if report.arrival is None else report.arrival.first_token_at,
            report.ended,
            result,
            report.status,
            report.code,
            report.message,
            None if failure is None else failure.request_id,
            retry_in,
            report.wait_seconds,
            report.throttled,
            report.maybe_sent,
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.output_tokens,
            ticket.charged,
            None if self._cost_of is None else self._cost_of(job, usage, ticket.lane_name),
            len(job.body),
            report.response_bytes,
        )
        self.records.append(record)

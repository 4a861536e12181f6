"""Whose fault a refusal (401, 402, 403) is: the row's own, or the key's, and then the run stops.

The key's, if refusals are all that it gets: three rows in a row without a success between them. Until that is known the
refused rows are held here, so that a stopped run has written nothing of them and a later one sends them again. An answer
that is neither (429, 500, 400 …) says nothing of the key, and is not told here.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.messages import Report

IN_A_ROW = 3  # one is a row that the provider forbids, two may be a relay's hiccup


class Stop(Struct, frozen=True):
    """The run must stop: every later row would be refused as well."""

    reason: str


class Refusals:
    """Holds every refused row until it is the row's own (it comes back, once, from `succeeded` or `idle`) or the key's (Stop).

    patience: the most attempts in flight. A key that never worked must not cost more requests than were in flight, so
    before the first success so few refusals are enough. A key that has worked always gets IN_A_ROW: with one attempt in
    flight a lone refusal would stop the run otherwise.
    """

    __slots__ = ("_held", "_patience", "_rows", "_stop", "_succeeded")

    def __init__(self, patience: int) -> None:
        self._patience = max(1, min(IN_A_ROW, patience))
        self._held: list[Report] = []
        self._rows: set[int] = set()  # refused since the last success, held or already handed back
        self._succeeded = False
        self._stop: Stop | None = None

    @property
    def probing(self) -> bool:
        """Whether only one attempt at a time may leave: the key was refused and has never worked."""
        return bool(self._rows) and not self._succeeded

    def refused(self, report: Report) -> Stop | None:
        """Hold a refused row; Stop if that settles it, and from then on."""
        self._held.append(report)
        self._rows.add(report.ticket.job.index)
        if len(self._rows) >= (IN_A_ROW if self._succeeded else self._patience):
            self._stop_run(report)
        return self._stop

    def succeeded(self, number: float = inf) -> list[Report]:
        """Note that the key worked; rows refused before that are at fault themselves and come back, unless the run has stopped.

        number: of the attempt, by departure. A key that was withdrawn meanwhile refuses rows that left later than that,
        and the answers that were still on their way say nothing of them.
        """
        self._succeeded = True
        if self._stop is not None:
            return []
        self._rows.clear()
        if not self._held:
            return []
        own = [report for report in self._held if report.ticket.number < number]
        self._held = [report for report in self._held if report.ticket.number >= number]
        return own

    def idle(self) -> Stop | list[Report]:
        """Nothing is in flight or queued, so nothing will tell whose fault it was: the rows' own if the key ever worked."""
        if self._held and not self._succeeded:
            self._stop_run(self._held[-1])
        return self._stop or self._hand_back()

    def _hand_back(self) -> list[Report]:
        held, self._held = self._held, []
        return held

    def _stop_run(self, report: Report) -> None:
        if self._stop is None:
            said = "" if report.failure is None else f": {report.failure.message}"
            rows = "one row" if len(self._rows) == 1 else f"{len(self._rows)} rows in a row"
            self._stop = Stop(f"the provider refused {rows}{said}")

"""Makes the ticket of a row's next attempt out of the report on its last one. Decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.messages import Ticket

if TYPE_CHECKING:
    from pipeline.messages import FailedAttempt, Report
    from pipeline.records import Job


def another_attempt(report: Report, failed: tuple[FailedAttempt, ...], *, avoid: int = -1, refused: bool = False) -> Ticket:
    """The same request again. failed, avoid, refused: as in `Ticket`."""
    old = report.ticket
    return Ticket(
        old.job,
        old.attempt + 1,
        None,
        failed=failed,
        refused=old.refused or refused,
        avoid=avoid,
        rejected=report.rejected,
        wasted=report.wasted,
        cut=report.cut,
        original=old.original,
        turn=old.turn,
    )


def another_request(report: Report, job: Job) -> Ticket:
    """Another request for a row whose answer did not fit. The row has failed in nothing, so its attempts stay as they are."""
    old = report.ticket
    ticket = Ticket(job, old.attempt + 1, None, failed=old.failed, rejected=report.rejected, wasted=report.wasted, turn=old.turn)
    ticket.original = old.original or old.job
    return ticket

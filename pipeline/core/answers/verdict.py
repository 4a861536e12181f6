"""What came of one attempt: one pure function, from the sender's reply to the report that the gate gets.

The worker that made the attempt calls it. Whether a failure is the row's own or the lane's is not known yet: that depends
on what other rows meet, and `core/pacing/judge.py` decides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.core.answers.meaning import CheckError, Trouble
from pipeline.core.answers.retry import BOUGHT, retry_delay
from pipeline.heads import ResponseHeaders
from pipeline.messages import Report
from pipeline.records import Answer, Failure, FailureKind, Fault, Success

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.answers.fitting import AnswerRules, Misfit
    from pipeline.core.answers.judged import Judged
    from pipeline.core.answers.meaning import Result
    from pipeline.core.answers.retry import RetryPolicy
    from pipeline.core.answers.secrets import Secrets
    from pipeline.messages import Ticket
    from pipeline.records import Outcome, Usage


def verdict(
    ticket: Ticket,
    reply: Answer | Fault,
    meaning: Result | Trouble,
    policy: RetryPolicy,
    secrets: Secrets,
    seconds: float,
    now_utc: float,
    draw: Callable[[], float],
    rules: AnswerRules | Judged | None = None,
    started: float = 0.0,
    *,
    hidden: bool = False,
) -> tuple[Outcome | None, Report]:
    """Judge a reply: the row's outcome if that is known here, and what the gate is to know about it.

    meaning: of the reply, as `classify` and `classify_fault` tell it. secrets: what no failure may show. seconds: how long
    the attempt took. now_utc: seconds since the epoch. draw: gives a number in [0, 1); called only for a failure.
    rules: what answers must be, or what was found before; None takes every one. started: clock when the attempt began.
    hidden: the meaning shows no secret any more.
    """
    if isinstance(meaning, Trouble):
        trouble = meaning if hidden else secrets.hidden(meaning)
        return None, _failed(ticket, reply, trouble, policy, secrets, seconds, now_utc, draw())
    assert isinstance(reply, Answer)  # a result comes of an answer alone
    report = Report(
        ticket, True, reply.status, meaning.usage, seconds, reply.sent_at, reply.headers, now_utc, reply.arrival, len(reply.body)
    )
    report.rejected, report.wasted = ticket.rejected, ticket.wasted
    if rules is not None:
        try:
            misfit = rules.judge(meaning.body, ticket.job, ticket.original or ticket.job, ticket.rejected + 1)
        except CheckError as error:
            report.stop = str(error)
            return None, report
        if misfit is not None:
            return _unfit(ticket, reply, meaning, misfit, report)
    job = ticket.job
    success = Success(
        job.index,
        job.custom_id,
        reply.status,
        _request_id(reply),
        meaning.body,
        meaning.usage,
        ticket.attempt,
        seconds,
        meaning.finish_reason,
        ticket.rejected,
        ticket.wasted,
        ticket.lane_name,
    )
    arrival = reply.arrival
    if arrival is not None and arrival.first_token_at is not None:
        success = replace(success, first_token_seconds=arrival.first_token_at - started, longest_gap_seconds=arrival.longest_gap)
    return success, report


def _unfit(ticket: Ticket, answer: Answer, result: Result, misfit: Misfit, report: Report) -> tuple[Failure | None, Report]:
    """An answer that the provider gave and the user cannot use: the lane is well, and the row is asked again or has failed."""
    report.rejected += 1
    report.wasted += result.usage
    report.code, report.message = misfit.unfit.kind.value, misfit.unfit.reason
    if misfit.again is not None:
        report.ask_again = misfit.again
        return None, report
    asked = f" (after {report.rejected} answers)" if report.rejected > 1 else ""
    failure = Failure(
        ticket.job.index,
        ticket.job.custom_id,
        misfit.unfit.kind,
        misfit.unfit.reason + asked,
        answer.status,
        _request_id(answer),
        result.body,
        ticket.attempt,
        report.seconds,
        report.rejected,
        report.wasted,
        ticket.lane_name,
    )
    return failure, report


def _failed(
    ticket: Ticket,
    reply: Answer | Fault,
    trouble: Trouble,
    policy: RetryPolicy,
    secrets: Secrets,
    seconds: float,
    now_utc: float,
    draw: float,
) -> Report:
    fault = reply if isinstance(reply, Fault) else None
    answer = reply if isinstance(reply, Answer) else None
    rejected = ticket.rejected + trouble.bought
    wasted = ticket.wasted + trouble.usage
    request_id = None if answer is None else _request_id(answer)
    same = not trouble.cut or trouble.cut == ticket.cut
    return Report(
        ticket,
        failure=_failure(ticket, trouble, request_id if request_id is None else secrets.hidden_in(request_id), seconds, rejected, wasted),
        code=trouble.kind.value if trouble.status_code is None else f"http_{trouble.status_code}",
        message=trouble.message,
        scope=trouble.scope,
        retryable=trouble.retryable and not (trouble.bought and rejected >= BOUGHT and same),
        delay=retry_delay(trouble, len(ticket.failed) + 1, policy, draw),
        wait_seconds=trouble.wait_seconds,
        limited=trouble.rate_limited,
        cause=None if fault is None else fault.cause,
        maybe_sent=fault is not None and fault.maybe_sent,
        status=None if answer is None else answer.status,
        usage=trouble.usage,
        seconds=seconds,
        sent_at=reply.sent_at,
        headers=None if answer is None else answer.headers,
        now_utc=now_utc,
        arrival=None if answer is None else answer.arrival,
        response_bytes=0 if answer is None else len(answer.body),
        rejected=rejected,
        wasted=wasted,
        cut=trouble.cut or ticket.cut,  # another failure between two cut answers does not make them less alike
    )


def _failure(ticket: Ticket, trouble: Trouble, request_id: str | None, seconds: float, rejected: int, wasted: Usage) -> Failure:
    attempts = ticket.attempt
    return Failure(
        ticket.job.index,
        ticket.job.custom_id,
        FailureKind.RETRIES_EXHAUSTED if trouble.retryable and trouble.kind is FailureKind.HTTP else trouble.kind,
        f"{trouble.message} (after {attempts} attempts)" if attempts > 1 else trouble.message,
        trouble.status_code,
        request_id,
        trouble.body,
        attempts,
        seconds,
        rejected,
        wasted,
        ticket.lane_name,
    )


def _request_id(answer: Answer) -> str | None:
    first = answer.headers.first if type(answer.headers) is ResponseHeaders else answer.header
    value = first(b"x-request-id") or first(b"request-id")
    return None if value is None else value.decode("ascii", "replace")

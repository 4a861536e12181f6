"""What came of one attempt: one pure function, from the sender's reply to the report that the gate gets.

The worker that made the attempt calls it. Whether a failure is the row's own or the lane's is not known yet: that depends
on what other rows meet, and `core/pacing/judge.py` decides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.answers.retry import BOUGHT, retry_delay
from pipeline.core.answers.trouble import Trouble
from pipeline.messages import Report
from pipeline.records import Answer, Failure, FailureKind, Fault, Success

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.answers.classify import Result
    from pipeline.core.answers.retry import RetryPolicy
    from pipeline.core.answers.secrets import Secrets
    from pipeline.messages import Ticket
    from pipeline.records import Usage


def verdict(
    ticket: Ticket,
    reply: Answer | Fault,
    meaning: Result | Trouble,
    policy: RetryPolicy,
    secrets: Secrets,
    *,
    seconds: float,
    now_utc: float,
    draw: Callable[[], float],
) -> tuple[Success | None, Report]:
    """Judge a reply: the row's success if it is one, and what the gate is to know about it.

    meaning: of the reply, as `classify` and `classify_fault` tell it. secrets: what no failure may show. seconds: how long
    the attempt took. now_utc: seconds since the epoch. draw: gives a number in [0, 1); called only for a failure.
    """
    if isinstance(meaning, Trouble):
        return None, _failed(ticket, reply, secrets.hidden(meaning), policy, secrets, seconds, now_utc, draw())
    assert isinstance(reply, Answer)  # a result comes of an answer alone
    job, usage = ticket.job, meaning.usage
    success = Success(
        job.index,
        job.custom_id,
        reply.status,
        _request_id(reply),
        meaning.body,
        usage,
        ticket.attempt,
        seconds,
        meaning.finish_reason,
        ticket.rejected,
        ticket.wasted,
    )
    return success, Report(
        ticket,
        answered=True,
        status=reply.status,
        usage=usage,
        seconds=seconds,
        sent_at=reply.sent_at,
        headers=reply.headers,
        now_utc=now_utc,
    )


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
    return Report(
        ticket,
        failure=_failure(ticket, trouble, request_id if request_id is None else secrets.hidden_in(request_id), seconds, rejected, wasted),
        code=trouble.kind.value if trouble.status_code is None else f"http_{trouble.status_code}",
        message=trouble.message,
        scope=trouble.scope,
        retryable=trouble.retryable and not (trouble.bought and rejected >= BOUGHT),
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
        rejected=rejected,
        wasted=wasted,
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
    )


def _request_id(answer: Answer) -> str | None:
    value = answer.header(b"x-request-id") or answer.header(b"request-id")
    return None if value is None else value.decode("ascii", "replace")

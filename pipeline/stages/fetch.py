"""Makes attempts: up to N workers, each with a sender (and so a connection) of its own, started when a ticket finds none idle.

A worker makes one attempt at a time, says what came of it, and never sleeps a back-off.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import field, frozen

from pipeline.core.answers.classify import LARGE_BYTES, Result, Trouble, classify, classify_fault
from pipeline.core.answers.retry import BOUGHT, RetryPolicy, retry_delay
from pipeline.core.answers.secrets import Secrets
from pipeline.events import AttemptFailed, Paused
from pipeline.messages import Report, Ticket, Verdict
from pipeline.ports import Sender
from pipeline.records import Answer, Failure, FailureKind, Success
from pipeline.stages.bench import Bench
from pipeline.stages.room import Room

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio import MemoryReceiveChannel, MemorySendChannel

    from pipeline.events import RunEvent
    from pipeline.messages import Notice
    from pipeline.ports import ClientRequestIds, Observer, Sender, Store
    from pipeline.records import Fault, Job, Outcome


logger = logging.getLogger(__name__)


@frozen
class FetchSettings:
    """What every worker needs.

    draw: uniform in [0, 1). utc: seconds since the epoch. secrets: what no failure may show. observer: told of attempts that
    failed and of pauses, if there is one.
    """

    open_sender: Callable[[], Sender]
    policy: RetryPolicy = field(factory=RetryPolicy)
    draw: Callable[[], float] = field(kw_only=True)
    utc: Callable[[], float] = field(kw_only=True)
    name_attempt: ClientRequestIds = field(kw_only=True)
    secrets: Secrets = field(factory=Secrets, kw_only=True)
    observer: Observer | None = field(default=None, kw_only=True)


async def fetch(
    tickets: MemoryReceiveChannel[list[Ticket]],
    reports: MemorySendChannel[list[Job] | Report | Notice],
    outcomes: MemorySendChannel[Outcome],
    *,
    settings: FetchSettings,
    store: Store[Any],
    room: Room | None = None,
) -> None:
    """Make the attempts that tickets allow. Every attempt ends in a report, and in an outcome or none.

    tickets: whoever sends them counts the workers; this stage starts as many as there are tickets at once.
    reports: must have room for a message per worker. outcomes: for a message per row.
    Cancellation: attempts in flight are cut off; their rows have no outcome.
    """
    bench = Bench()
    with tickets, reports, outcomes:
        async with trio.open_nursery() as nursery:
            async for group in tickets:
                for ticket in group:
                    if not bench.give(ticket):
                        nursery.start_soon(_work, ticket, bench, reports, outcomes, settings, store, room or Room())
            bench.close()


async def _work(
    ticket: Ticket | None,
    bench: Bench,
    reports: MemorySendChannel[list[Job] | Report | Notice],
    outcomes: MemorySendChannel[Outcome],
    settings: FetchSettings,
    store: Store[Any],
    room: Room,
) -> None:
    """A worker: its first ticket, and then one after the other, until none will come."""
    sender = settings.open_sender()
    try:
        while ticket is not None:
            job = ticket.job
            store.left(job.index)
            room.leave(job)
            started = trio.current_time()
            reply = await sender.send(job, settings.name_attempt(job.index, ticket.attempt))
            meaning = await _meaning_of(job, reply, settings)
            outcome, report = _judge(ticket, reply, meaning, started, settings)
            # No checkpoint from the report to `wait`: when the gate sees the report, this worker waits already.
            if outcome is not None:
                room.forget(job)
                outcomes.send_nowait(store.keep(outcome))
                if store.is_behind:
                    await store.catch_up()
            else:
                room.come_back(job)
                if not report.maybe_sent:
                    store.cleared(job.index)
            reports.send_nowait(report)
            ticket = None
            del job, reply, meaning, outcome, report  # an idle worker must not keep long bodies in memory
            ticket = await bench.wait()
    finally:
        sender.close()


async def _meaning_of(job: Job, reply: Answer | Fault, settings: FetchSettings) -> Result | Trouble:
    """What a reply means for its row. A large one is read in a thread, so that it holds nobody up."""
    if not isinstance(reply, Answer):
        return classify_fault(reply)
    if len(reply.body) > LARGE_BYTES:
        return await trio.to_thread.run_sync(partial(classify, reply, now_utc=settings.utc(), url=job.url))
    return classify(reply, now_utc=settings.utc(), url=job.url)


def _judge(
    ticket: Ticket, reply: Answer | Fault, meaning: Result | Trouble, started: float, settings: FetchSettings
) -> tuple[Outcome | None, Report]:
    """What came of an attempt: for the row, and for the gate."""
    now = trio.current_time()
    if isinstance(meaning, Trouble):
        trouble = settings.secrets.hidden(meaning)
        outcome, report = _fail(ticket, reply, trouble, now - started, settings)
        if settings.observer is not None:
            settings.observer.events(_events_of(report, trouble, now))
        return outcome, report
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
        now - started,
        meaning.finish_reason,
        ticket.rejected,
        ticket.wasted,
    )
    tokens = usage.total_tokens or None
    logger.debug("answered index=%d attempt=%d seconds=%.3f", job.index, ticket.attempt, now - started)
    return success, Report(ticket, Verdict.DONE, answered=True, tokens=tokens, sent_at=reply.sent_at)


def _fail(
    ticket: Ticket,
    reply: Answer | Fault,
    trouble: Trouble,
    latency: float,
    settings: FetchSettings,
) -> tuple[Outcome | None, Report]:
    now = trio.current_time()
    logger.debug("attempt failed index=%d attempt=%d kind=%s: %s", ticket.job.index, ticket.attempt, trouble.kind.value, trouble.message)
    report = Report(
        ticket,
        Verdict.DONE,
        throttled=trouble.throttled,
        rate_limited=trouble.rate_limited,
        unreachable=trouble.unreachable,
        maybe_sent=not isinstance(reply, Answer) and reply.maybe_sent,
        tokens=trouble.usage.total_tokens or None,
        sent_at=reply.sent_at,
        rejected=ticket.rejected + trouble.bought,
        wasted=ticket.wasted + trouble.usage,
    )
    if trouble.throttled and trouble.wait_seconds is not None:
        report.pause_until = now + trouble.wait_seconds
    last = not trouble.retryable or settings.policy.exhausted(ticket.attempt, ticket.strikes + 1)
    last = last or (trouble.bought and report.rejected >= BOUGHT)
    failure = _failure(report, reply, trouble, latency, settings.secrets) if last else None
    if trouble.retryable and (not last or _maybe_not_its_own(trouble, ticket, settings)):
        report.verdict = Verdict.RETRY
        report.retry_at = now + retry_delay(trouble, ticket.attempt, settings.policy, settings.draw())
        report.failure = failure
        return None, report
    if trouble.kind in (FailureKind.REFUSED, FailureKind.QUOTA):
        report.verdict = Verdict.REFUSED if trouble.kind is FailureKind.REFUSED else Verdict.EXHAUSTED
        report.failure = failure
        return None, report
    return failure, report


def _events_of(report: Report, trouble: Trouble, now: float) -> list[RunEvent]:
    """What a failed attempt tells an observer."""
    job, ticket = report.ticket.job, report.ticket
    code = trouble.kind.value if trouble.status_code is None else f"http_{trouble.status_code}"
    retry_in = max(0.0, report.retry_at - now) if report.verdict is Verdict.RETRY else None
    events: list[RunEvent] = [AttemptFailed(now, job.index, job.custom_id, ticket.attempt, code, trouble.message, retry_in)]
    if report.pause_until is not None and report.pause_until > now:
        events.append(Paused(now, report.pause_until - now, trouble.message))
    return events


def _maybe_not_its_own(trouble: Trouble, ticket: Ticket, settings: FetchSettings) -> bool:
    """Whether the gate may find that this failure is not the row's, and bounds allow more."""
    return (trouble.rate_limited or trouble.unreachable) and not settings.policy.exhausted(ticket.attempt, 0)


def _failure(report: Report, reply: Answer | Fault, trouble: Trouble, latency: float, secrets: Secrets) -> Failure:
    ticket = report.ticket
    request_id = _request_id(reply) if isinstance(reply, Answer) else None
    return Failure(
        ticket.job.index,
        ticket.job.custom_id,
        _final_kind(trouble),
        _final_message(trouble, ticket.attempt),
        trouble.status_code,
        None if request_id is None else secrets.hidden_in(request_id),
        trouble.body,
        ticket.attempt,
        latency,
        report.rejected,
        report.wasted,
    )


def _final_kind(trouble: Trouble) -> FailureKind:
    if trouble.retryable and trouble.kind is FailureKind.HTTP:
        return FailureKind.RETRIES_EXHAUSTED
    return trouble.kind


def _final_message(trouble: Trouble, attempts: int) -> str:
    return f"{trouble.message} (after {attempts} attempts)" if attempts > 1 else trouble.message


def _request_id(answer: Answer) -> str | None:
    value = answer.header(b"x-request-id") or answer.header(b"request-id")
    return None if value is None else value.decode("ascii", "replace")

"""Makes attempts: up to N workers, each with a sender (and so a connection) of its own, started when a ticket finds none idle.

A worker makes one attempt at a time, reports the result, and never sleeps during a back-off. It is a light task (`light`): it sets out
within the call that hands it a ticket, and goes on within the one in which its answer arrives. Only what must wait in another way costs it
a task: to connect to another machine, to go on with a request or an answer that is large, to read a stream.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from msgspec import field

from pipeline.core.answers.classify import classify, classify_fault, is_large
from pipeline.core.answers.meaning import APART_BYTES, LARGE_STREAM_BYTES
from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.answers.secrets import Secrets
from pipeline.core.answers.verdict import verdict
from pipeline.light import Crew, InTask, attempts_of
from pipeline.records import Answer
from pipeline.stages.handover import Hand
from pipeline.stages.idle import IdleWorkers
from pipeline.stages.room import SHORT_BYTES, Room
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio import MemoryReceiveChannel

    from pipeline.core.answers.fitting import AnswerRules
    from pipeline.messages import GateMessage, Report, Ticket
    from pipeline.ports import ClientRequestIds, OpenSender, Store
    from pipeline.records import Fault, Outcome
    from pipeline.stages.leaving import Leaving
    from pipeline.stages.mailbox import Outlet


class _Sending(Record, frozen=True):
    """What of `FetchSettings` may be given by its place."""

    open_senders: Sequence[OpenSender]
    policy: RetryPolicy = field(default_factory=RetryPolicy)


MOST_AT_ONCE = 64  # requests that leave before others have their turn: about 2 ms


class FetchSettings(_Sending, frozen=True, kw_only=True):
    """What every worker needs.

    open_senders: of each lane, by its index; more may be added while the run goes on. draw: uniform in [0, 1). utc: seconds since
    the epoch. secrets: what no failure may show. rules: what answers must be; None takes every one.
    """

    draw: Callable[[], float]
    utc: Callable[[], float]
    name_attempt: ClientRequestIds
    secrets: Secrets = field(default_factory=Secrets)
    rules: AnswerRules | None = None


async def fetch(
    tickets: MemoryReceiveChannel[list[Ticket]] | Hand[list[Ticket]],
    reports: Outlet[GateMessage],
    outcomes: Outlet[Outcome],
    *,
    settings: FetchSettings,
    store: Store[Any],
    room: Room | None = None,
    leaving: Leaving | None = None,
) -> None:
    """Make the attempts that tickets allow. Every attempt ends in a report, and a success in an outcome too.

    tickets: their sender counts the workers; this stage starts as many as there are tickets at once. Through a `Handover` they set
    out before `send_nowait` returns.
    reports: must have room for a message per worker. outcomes: for a message per row.
    leaving: asks before attempts leave late, where lanes share their limits with other processes.
    Cancellation: attempts in flight are cut off; their rows have no outcome.
    """
    idle: list[IdleWorkers] = []  # of each lane
    room = room or Room()

    async def hand_out() -> None:
        while (group := await _next_group(tickets)) is not None:
            for number, ticket in enumerate(group, 1):
                while ticket.lane >= len(idle):  # a lane may be added while the run goes on
                    idle.append(IdleWorkers())
                workers = idle[ticket.lane]
                if not workers.give(ticket):
                    crew.start(_work(ticket, workers, reports, outcomes, settings, store, room, leaving))
                if number % MOST_AT_ONCE == 0:
                    await InTask(trio.lowlevel.checkpoint)
            if leaving is not None:
                leaving.handed_out(group)
        for workers in idle:
            workers.close()

    with tickets, reports, outcomes:
        async with trio.open_nursery() as nursery:
            crew = Crew(nursery)
            with closing(crew):
                crew.start(hand_out())
                await crew.join()


async def _next_group(tickets: MemoryReceiveChannel[list[Ticket]] | Hand[list[Ticket]]) -> list[Ticket] | None:
    """What may leave next; None once nothing will."""
    if isinstance(tickets, Hand):
        return await tickets.receive()
    try:
        return await InTask(tickets.receive)
    except trio.EndOfChannel:
        return None


async def _work(
    ticket: Ticket | None,
    idle: IdleWorkers,
    reports: Outlet[GateMessage],
    outcomes: Outlet[Outcome],
    settings: FetchSettings,
    store: Store[Any],
    room: Room,
    leaving: Leaving | None,
) -> None:
    """A worker: its first ticket, and then one after the other, until none will come. To be run as a light task."""
    assert ticket is not None
    sender = settings.open_senders[ticket.lane]()
    attempt = attempts_of(sender)
    clock = trio.lowlevel.current_clock().current_time  # a third of what trio.current_time costs
    departure = None if leaving is None else leaving.departure(ticket.lane, sender, clock)
    try:
        while ticket is not None:
            job = ticket.job
            store.left(job.index)
            long = len(job.body) > SHORT_BYTES
            if long:
                room.leave(job)
            if departure is not None:
                departure.begin(ticket)
            started = clock()
            reply = await attempt(job, settings.name_attempt(job.index, ticket.attempt))
            ended = clock()
            if (
                type(reply) is Answer and len(reply.body) > LARGE_STREAM_BYTES and is_large(reply)
            ):  # read in a thread, so that it holds nobody up
                outcome, report = await InTask(_judge_long, ticket, reply, ended - started, started, settings)
            else:
                outcome, report = _judge(ticket, reply, ended - started, started, settings)
            report.ended = ended
            # No wait from the report to the wait for a ticket: when the gate sees the report, this worker is idle already.
            if outcome is not None:
                if long:
                    room.forget(job)
                outcomes.send_nowait(store.keep(outcome))
                if store.is_behind:
                    await InTask(store.catch_up)
            else:
                room.come_back(report.ask_again or job)
                if not report.maybe_sent:
                    store.cleared(job.index)
            reports.send_nowait(report)
            ticket = None
            del job, reply, outcome, report  # an idle worker must not keep long bodies in memory
            sender.release()
            ticket = await idle
    finally:
        sender.close()


async def _judge_long(
    ticket: Ticket, answer: Answer, seconds: float, started: float, settings: FetchSettings
) -> tuple[Outcome | None, Report]:
    """Judge an answer that takes long: in a thread, and the longest in another process first, because a thread would hold the loop up."""
    if len(answer.body) <= APART_BYTES:
        return await trio.to_thread.run_sync(_judge, ticket, answer, seconds, started, settings)
    from pipeline.apart import apart  # noqa: PLC0415  few runs have such answers
    from pipeline.core.answers.judged import judge_answer, question, whole  # noqa: PLC0415  as above

    utc, secrets, rules = settings.utc(), settings.secrets, settings.rules
    asked = question(ticket, utc, secrets, rules)
    judged = whole(await apart(judge_answer, answer, asked), answer)
    left = rules if asked.rules is None else judged  # what is still to be judged by
    conclude = partial(
        verdict, ticket, answer, judged.meaning, settings.policy, secrets, seconds, utc, settings.draw, left, started, hidden=True
    )
    return await trio.to_thread.run_sync(conclude)


def _judge(ticket: Ticket, reply: Answer | Fault, seconds: float, started: float, settings: FetchSettings) -> tuple[Outcome | None, Report]:
    utc = settings.utc()
    job, rules = ticket.job, settings.rules
    if isinstance(reply, Answer):  # where there are rules, they decide whether an empty answer fits
        meaning = classify(reply, now_utc=utc, url=job.url, asked=job.body, empty_fits=rules is not None)
    else:
        meaning = classify_fault(reply)
    return verdict(ticket, reply, meaning, settings.policy, settings.secrets, seconds, utc, settings.draw, rules, started)

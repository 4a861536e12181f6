"""DirectSender: a Job in, an Answer or a Fault out, over one keep-alive connection of its own.

A request is sent a second time only if it is certain that the first never reached the server: LLM calls cost money.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from pipeline.core.answers.stream_starts import arrived_at_once, open_streamed_body
from pipeline.edges.http.causes import NOT_LEFT, connect_cause, connect_message, exchange_cause, exchange_message, refuses_our_certificate
from pipeline.edges.http.connection import Connection
from pipeline.edges.http.memory import FREE_BYTES
from pipeline.edges.http.pairing import HEAD_BYTES, Doubt, Pairing, out_of_step
from pipeline.edges.http.receiving import Receiver, may_be_short
from pipeline.edges.http.redirects import FOLLOWED, MAX_HOPS, follow
from pipeline.edges.http.response import MalformedResponseError
from pipeline.edges.http.watch import REST
from pipeline.light import InTask, in_task
from pipeline.records import Answer, FailureKind, Fault, FaultCause

if TYPE_CHECKING:
    import socket

    from pipeline.edges.http.connect import Dialer
    from pipeline.edges.http.endpoint import Endpoint
    from pipeline.edges.http.memory import AnswerMemory
    from pipeline.edges.http.pairing import Trust
    from pipeline.edges.http.request import RequestHeads
    from pipeline.edges.http.watch import Watch
    from pipeline.ports import Departure, OpenConsumer
    from pipeline.records import Job

LONG_BODY = 32 * 1024  # from here on a copy costs more than a second piece to send

_TROUBLE = (OSError, trio.ClosedResourceError, MalformedResponseError)


class Counts(Struct, eq=False):
    """What happened to connections. opened. stale: found closed when reused, and replaced without loss. dropped: not reusable."""

    opened: int = 0
    stale: int = 0
    dropped: int = 0


class DirectSender:
    """A Sender on a socket. Owns one connection, opened by the first attempt."""

    __slots__ = (
        "_address", "_clock", "_connection", "_counts", "_departure", "_dialer", "_ends_at", "_heads", "_hops", "_lifetime", "_pairing",
        "_patience", "_receiver", "_retire_at", "_timeouts", "_trust", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        heads: RequestHeads,
        dialer: Dialer,
        watch: Watch,
        counts: Counts,
        memory: AnswerMemory,
        trust: Trust,
        open_stream: OpenConsumer = open_streamed_body,
    ) -> None:
        self._address = heads.address
        self._timeouts = endpoint.timeouts
        self._patience = min(endpoint.timeouts.idle, endpoint.timeouts.total)
        self._lifetime = endpoint.connection.max_seconds
        self._heads = heads
        self._dialer = dialer
        self._watch = watch
        self._counts = counts
        self._trust = trust
        self._pairing: Pairing  # of the connection
        self._retire_at = math.inf  # clock
        self._connection: Connection | None = None
        self._departure: Departure | None = None
        self._clock = trio.lowlevel.current_clock().current_time  # a third of what trio.current_time costs
        self._receiver = Receiver(endpoint.timeouts, endpoint.caps, memory, watch, open_stream)
        self._ends_at = 0.0  # clock; of the attempt and of all redirects that it follows
        self._hops = 0  # redirects followed in this attempt

    def ask_before(self, departure: Departure) -> None:
        """See `AskingSender`."""
        self._departure = departure

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt. Raises ValueError for a job that must not be sent.

        Cancellation: the attempt is lost and its connection dropped; the provider may have seen the request.
        """
        return await in_task(self.attempt(job, client_request_id))

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt, for a light task; as `send`."""
        head = self._heads.head(job.method, job.url, len(job.body), client_request_id, streams=job.streams)
        now = self._clock()
        ends_at = self._ends_at = now + self._timeouts.total if not self._hops else self._ends_at
        self._receiver.waited = 0.0
        connection = self._connection
        if connection is not None:
            surplus = connection.surplus()
            if surplus is None and now < self._retire_at and not self._trust.broken:
                if self._departure is not None and not await self._departure.may_leave():
                    return NOT_LEFT
                connection.ends_at = ends_at
                connection.heard_at = now
                if now + self._patience < self._watch.next_look:
                    self._watch.remind(now + self._patience)
                reply = await self._exchange(connection, head, job, client_request_id, now, reused=True)
                if reply is not None:
                    return reply
                self._counts.stale += 1
            else:
                self._put_aside(connection, surplus)
        under_way = self._dialer.set_out(self._heads.base, now)
        if isinstance(under_way, Connection):
            opened = self._adopt(under_way, ends_at)
        else:
            if self._departure is not None:
                self._departure.delays()
            late_or_open = await InTask(self._open, ends_at, under_way)
            if isinstance(late_or_open, Fault):
                return late_or_open
            opened = late_or_open
        if self._departure is not None and not await self._departure.may_leave():
            self._keep(opened)
            return NOT_LEFT
        reply = await self._exchange(opened, head, job, client_request_id, now, reused=False)
        assert reply is not None  # only a reused connection can have been stale
        return reply

    def release(self) -> None:
        """The last answer is no longer in memory. Calling it again does no harm."""
        if self._receiver.held is not None:
            self._receiver.release()

    def close(self) -> None:
        """Close the connection. Calling it again does no harm."""
        self.release()
        if self._connection is not None:
            self._drop(self._connection)

    def _keep(self, opened: Connection) -> None:
        """Keep a new connection for a later request, unless it is over by now."""
        opened.ends_at = opened.heard_at = REST
        try:
            opened.settle()
        except OSError:
            self._drop(opened)

    def _put_aside(self, connection: Connection, surplus: bytes | None) -> None:
        """Drop a connection that has served its time, or on which something has come since the last answer."""
        if surplus is not None:
            self._counts.stale += 1
            if surplus:
                self._pairing.judge(surplus, self._address)
        self._drop(connection)

    async def _exchange(  # noqa: C901, PLR0912  a coroutine more would cost every attempt 0.2 µs
        self, connection: Connection, head: bytes, job: Job, client_request_id: str, asked_at: float, *, reused: bool
    ) -> Answer | Fault | None:
        """Send and read the answer; None if the connection was closed before the request could reach anybody."""
        reader, pairing = connection.reader, self._pairing
        pairing.rows.append(job.custom_id)
        reader.begin(without_body=job.method == "HEAD")
        sent_at = arrival = None
        whole = True  # the server took the request
        if job.streams:
            self._receiver.expect_stream(connection, asked_at)
        try:
            rest = connection.start(head + job.body) if len(job.body) < LONG_BODY else connection.start_long(head, job.body)
            if rest is None:
                sent_at = asked_at if reused else self._clock()
            elif whole := await InTask(connection.finish, rest):
                sent_at = self._clock()
            if not job.streams and (connection.is_woken or self._watch.wakes(connection)):
                await connection
                if (data := connection.take()) is not None:
                    reader.feed(data)
            if reader.complete and len(reader.chunks) == 1 and reader.size <= FREE_BYTES and not reader.codings:
                content: bytes | None = reader.chunks[0]
            else:
                content = await self._short_answer(connection, streams=job.streams)
            if content is None:
                content = await InTask(partial(self._receiver.rest, connection, asked_at, streams=job.streams))
                arrival = None if (stream := self._receiver.stream) is None else stream.arrival
            elif job.streams or not content.startswith(b"{"):
                arrival = arrived_at_once(content, self._clock())
        except _TROUBLE as error:
            stale = reused and not reader.started and not connection.expired and connection.never_arrived(error)
            self._drop(connection)
            return None if stale else self._fault(connection, error, sent_at)
        except BaseException:
            self._drop(connection)
            raise
        connection.ends_at = connection.heard_at = connection.stalls_at = REST
        if not (whole and reader.reusable) or connection.expired:
            self._drop(connection)
        before, last = pairing.before, pairing.last
        pairing.before, pairing.last = last, (key := hash(content[:HEAD_BYTES]) ^ len(content))
        if (
            not reused or key in (last, before) or len(pairing.rows) >= pairing.room or reader.surplus or self._trust.alert
        ) and not await self._is_own(connection, client_request_id, asked_at, repeat=key in (last, before)):
            if self._connection is not None:
                self._drop(connection)
            message = out_of_step(self._address)
            return Fault(FailureKind.MALFORMED_RESPONSE, message, maybe_sent=True, cause=FaultCause.PROTOCOL, sent_at=sent_at)
        answer = Answer(reader.status, reader.headers, content, sent_at, arrival)
        return await self._follow(job, answer, client_request_id) if reader.status in FOLLOWED else answer

    async def _short_answer(self, connection: Connection, *, streams: bool) -> bytes | None:
        """Go on reading an answer; its body if it is whole, or None if the rest takes a task. streams: a stream was asked for."""
        reader = connection.reader
        if not reader.started and (streams or not connection.is_woken):
            reader.feed(await InTask(connection.receive))
        while not reader.complete:
            if streams or not (connection.is_woken and may_be_short(reader)):
                return None
            connection.heard_at = self._clock()
            await connection
            if (data := connection.take()) is not None:
                reader.feed(data)
        return self._receiver.short(reader)

    async def _follow(self, job: Job, answer: Answer, client_request_id: str) -> Answer | Fault:
        """Go where a redirect on the same origin leads, within the same total deadline; else the redirect is the answer."""
        moved = follow(job, answer, self._heads)
        if moved is None or self._hops >= MAX_HOPS:
            return answer
        self._hops += 1
        try:
            return await self.attempt(moved, client_request_id)
        finally:
            self._hops -= 1

    async def _is_own(self, connection: Connection, client_request_id: str, asked_at: float, *, repeat: bool) -> bool:
        """Whether an answer belongs to its request, as far as anybody can know (`pairing`). Cancellation: the connection is dropped."""
        reader, pairing, trust = connection.reader, self._pairing, self._trust
        now = trio.current_time()
        trust.took(now - asked_at - self._receiver.waited)
        if pairing.is_spent:
            self._retire_at = -math.inf
        if not 200 <= reader.status < 300:
            return True
        if pairing.echoes_another(reader.headers, client_request_id):
            trust.lose(f"{self._address} sent an answer with the id of another request; its row is sent again")
            return False
        repeat = repeat and trust.minds_repeat()
        if reader.surplus:
            return pairing.judge(reader.surplus, self._address, Doubt.REPEAT if repeat else Doubt.LOOK)
        if (repeat or pairing.rest_is_due(now)) and self._connection is not None:
            return await InTask(self._rest, connection, Doubt.REPEAT if repeat else Doubt.REST_IS_DUE)
        return not pairing.doubts_all

    async def _rest(self, connection: Connection, doubt: Doubt) -> bool:
        """Leave the connection alone for a moment; whether its last answer can be believed then."""
        data: bytes | None = None
        try:
            with trio.move_on_after(self._trust.rest_seconds):
                data = await connection.receive()
        except _TROUBLE:
            data = b""
        except BaseException:
            self._drop(connection)
            raise
        if data is None:
            self._pairing.note_clean(trio.current_time())
            return not self._pairing.doubts_all
        self._drop(connection)
        return not data or self._pairing.judge(data, self._address, doubt)  # a server that has closed says nothing more

    def _fault(self, connection: Connection, error: Exception, sent_at: float | None) -> Fault:
        maybe_sent, started = sent_at is not None, connection.reader.started
        if connection.expired:
            cause, message = self._too_late(connection.expired)
            return Fault(FailureKind.TIMEOUT, message, maybe_sent, cause, sent_at)
        malformed = started and isinstance(error, MalformedResponseError)
        kind = FailureKind.MALFORMED_RESPONSE if malformed else FailureKind.CONNECTION
        message = exchange_message(self._address, error, started=started)
        maybe_sent = maybe_sent and (started or not refuses_our_certificate(error))
        return Fault(kind, message, maybe_sent, exchange_cause(error), sent_at)

    def _too_late(self, deadline: str) -> tuple[FaultCause, str]:
        if deadline == "total":
            return (
                FaultCause.TOTAL_TIMEOUT,
                f"no complete response from {self._address} within {self._timeouts.total:g} s (total deadline)",
            )
        if deadline == "stall":
            return FaultCause.STALL_TIMEOUT, self._receiver.deadlines.passed(self._address)
        return FaultCause.IDLE_TIMEOUT, f"not a byte from {self._address} for {self._timeouts.idle:g} s (idle deadline)"

    async def _open(self, ends_at: float, under_way: socket.socket | None) -> Connection | Fault:
        connect_at = trio.current_time() + self._timeouts.connect
        try:
            with trio.CancelScope(deadline=min(ends_at, connect_at)) as scope:
                connection = await self._dialer.dial(self._heads.base, under_way)
        except (OSError, UnicodeError) as error:
            cause = connect_cause(error)
            message = connect_message(self._address, cause, error)
            permanent = cause is FaultCause.TLS  # the same certificate will be there next time
            return Fault(FailureKind.CONNECTION, message, maybe_sent=False, cause=cause, permanent=permanent)
        if not scope.cancelled_caught:
            return self._adopt(connection, ends_at)
        seconds, deadline = (self._timeouts.connect, "connect") if connect_at <= ends_at else (self._timeouts.total, "total")
        message = f"not connected to {self._address} within {seconds:g} s ({deadline} deadline)"
        return Fault(FailureKind.TIMEOUT, message, maybe_sent=False, cause=FaultCause.CONNECT_TIMEOUT)

    def _adopt(self, connection: Connection, ends_at: float) -> Connection:
        self._connection = connection
        now = self._clock()
        self._pairing = Pairing(self._trust, now)
        self._retire_at = now + self._lifetime
        self._counts.opened += 1
        connection.ends_at = ends_at
        connection.heard_at = now
        self._watch.add(connection)
        self._watch.remind(min(ends_at, now + self._timeouts.idle))
        return connection

    def _drop(self, connection: Connection) -> None:
        self._connection = None
        self._counts.dropped += 1
        connection.close()

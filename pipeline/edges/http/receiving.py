"""Receives the part of a response that did not come with its first bytes, and keeps the deadlines of streams.

Two deadlines of a stream need to know what its bytes say: a stream may be kept open by comments and pings although no event
comes any more (stall), and the first token may take too long. The others need no more than the bytes themselves (`watch`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from pipeline.core.answers.stream_starts import begins_as_stream, may_stream
from pipeline.edges.http.memory import FREE_BYTES, STEP_BYTES
from pipeline.edges.http.watch import REST

if TYPE_CHECKING:
    from pipeline.edges.http.body import Body
    from pipeline.edges.http.connection import Connection
    from pipeline.edges.http.endpoint import Caps, Timeouts
    from pipeline.edges.http.memory import AnswerMemory
    from pipeline.edges.http.response import ResponseReader
    from pipeline.edges.http.watch import Watch
    from pipeline.ports import OpenConsumer, StreamConsumer

LONG_REST = 64 * 1024  # of a body, from where it goes past the parser and is received in larger pieces
MOST_AT_ONCE = 256 * 1024  # all answers together may go beyond their bound by this for each of them

SHORT_WORK_BYTES = FREE_BYTES + 8 * STEP_BYTES  # of decoding in one go: 0.3 ms

# After its first token a stream is read as it comes, then once a tick, then every second tick: a short one must not wait for them.
HURRY_SECONDS, LONG_SECONDS, LAZY = 0.5, 2.5, 2


def may_be_short(reader: ResponseReader) -> bool:
    """Whether the body of an unfinished response may be gathered by whoever has read so far: it is short yet, and no stream."""
    if not reader.head_complete:
        return True
    chunks = reader.chunks
    return reader.size <= FREE_BYTES and not may_stream(reader.status, reader.headers) and not (chunks and begins_as_stream(chunks[0]))


class StreamDeadlines:
    """When a stream is over because of what it says.

    waits_from: clock from which an event is waited for; None for a stream that was not asked for, which is not waited for before it
    begins. stream: who takes it, once it has begun. any: whether there is a deadline at all.
    """

    __slots__ = ("_begun", "_first_token", "_stall", "any", "stream", "waits_from")

    def __init__(self, timeouts: Timeouts) -> None:
        self._stall = timeouts.stall
        self._first_token = timeouts.first_token
        self.any = min(timeouts.stall, timeouts.first_token) < math.inf
        self._begun = -math.inf
        self.waits_from: float | None = None
        self.stream: StreamConsumer | None = None

    def begin(self, at: float, *, asked: bool) -> None:
        """An attempt begins. asked: for a stream."""
        self._begun = at
        self.waits_from = at if asked else None
        self.stream = None

    def nearest(self) -> float:
        """Clock of the next deadline."""
        stream = self.stream
        if stream is None:
            return self._begun + min(self._stall, self._first_token)
        stalls_at = stream.last_event_at + self._stall
        return stalls_at if stream.first_token_at is not None else min(stalls_at, self._begun + self._first_token)

    def passed(self, address: str) -> str:
        """What to say of the deadline that has passed."""
        stream = self.stream
        if (stream is None or stream.first_token_at is None) and self.nearest() == self._begun + self._first_token:
            return f"no token of a streamed answer from {address} within {self._first_token:g} s (first token deadline)"
        return f"no event of a streamed answer from {address} for {self._stall:g} s, only comments and pings at most (stall deadline)"


class Receiver:
    """Receives bodies for one sender, one at a time. Owns the count of the last one's memory, until it is released.

    deadlines: of the stream that is under way. stream: who took the last body, if it was a stream. waited: seconds for which bodies
    waited for room since the sender set it to 0.
    """

    __slots__ = ("_caps", "_idle", "_memory", "_open_stream", "_watch", "deadlines", "held", "stream", "waited")

    def __init__(self, timeouts: Timeouts, caps: Caps, memory: AnswerMemory, watch: Watch, open_stream: OpenConsumer) -> None:
        self.deadlines = StreamDeadlines(timeouts)
        self.stream: StreamConsumer | None = None
        self._idle = timeouts.idle
        self._caps = caps
        self._memory = memory
        self._watch = watch
        self._open_stream = open_stream
        self.waited = 0.0
        self.held: Body | None = None

    def release(self) -> None:
        """The last body is no longer in memory. Calling it again does no harm."""
        if self.held is not None:
            self.held.close()
            self.held = None

    def expect_stream(self, connection: Connection, begun: float) -> None:
        """An attempt that asks for a stream has begun."""
        deadlines = self.deadlines
        deadlines.begin(begun, asked=True)
        if deadlines.any:
            connection.stalls_at = deadlines.nearest()
            self._watch.remind(connection.stalls_at)

    def short(self, reader: ResponseReader) -> bytes | None:
        """The body of a whole response, decoded; None if it is long, or takes long. Raises MalformedResponseError."""
        if reader.size > FREE_BYTES:
            return None
        if not reader.codings:
            return reader.body()
        from pipeline.edges.http.decoding import Decoder  # noqa: PLC0415  not every server packs its answers

        decoder = Decoder(reader.codings, self._caps.body)
        pieces: list[bytes] = []
        work = 0
        for piece in decoder.feed(reader.body()):
            pieces.append(piece)
            work += len(piece) + STEP_BYTES
            if work > SHORT_WORK_BYTES:
                return None
        decoder.finish()
        return b"".join(pieces)

    async def rest(self, connection: Connection, begun: float, *, streams: bool) -> bytes:
        """Read on after the first piece; the whole body, decoded. begun: clock when the attempt began. streams: it asks for a stream.

        Raises OSError, MalformedResponseError, ClosedResourceError. Cancellation: the body is lost.
        """
        reader = connection.reader
        body: Body | None = None
        self.stream = None
        self.deadlines.begin(begun, asked=streams)
        self.release()  # else this body might wait for the last one
        is_long = False  # and its length is known
        try:
            while not reader.complete:
                now = connection.heard_at = trio.current_time()
                if reader.chunks:
                    body = body or self._body(connection)
                    await body.take(reader.take_chunks(), now)
                    if (stream := body.stream) is not None and connection.unhurried < LAZY and stream.first_token_at is not None:
                        age = now - stream.first_token_at
                        connection.unhurried = (age > HURRY_SECONDS) + (age > LONG_SECONDS)
                    if self.deadlines.any and body.stream is not None:
                        self._note(connection, body.stream)
                if is_long or (is_long := reader.left() > LONG_REST):
                    reader.take(await connection.receive(min(reader.left(), MOST_AT_ONCE)))
                else:
                    reader.feed(await connection.receive())
            body = body or self._body(connection)
            await body.take(reader.take_chunks())
            connection.stalls_at = REST
            connection.unhurried = 0
            content = await body.finish()
        except BaseException:
            if body is not None:
                self.stream = body.stream
                body.close()
            raise
        self.held, self.stream = body, body.stream
        return content

    def _note(self, connection: Connection, stream: StreamConsumer) -> None:
        """Move the deadlines of a stream."""
        deadlines = self.deadlines
        new = deadlines.stream is None
        deadlines.stream = stream
        connection.stalls_at = deadlines.nearest()
        if new:
            self._watch.remind(connection.stalls_at)

    def _body(self, connection: Connection) -> Body:
        """A collector of the body, which begins when the head is complete, for only then the codings are known."""
        from pipeline.edges.http.body import Body  # noqa: PLC0415  a run of short answers needs none

        async def wait(body: Body) -> None:
            # The server is not to blame for this wait, so its deadlines do not run.
            now = trio.current_time()
            left, stall = connection.ends_at - now, connection.stalls_at - now
            connection.ends_at = connection.heard_at = connection.stalls_at = REST
            await self._memory.wait(body)
            since, now = now, trio.current_time()
            self.waited += now - since
            connection.heard_at, connection.ends_at, connection.stalls_at = now, now + left, now + stall
            self._watch.remind(min(connection.ends_at, connection.stalls_at, now + self._idle))

        def check() -> None:
            if connection.expired:
                raise trio.ClosedResourceError

        reader = connection.reader
        streams = may_stream(reader.status, reader.headers)
        return Body(
            reader.codings,
            self._caps.body,
            self._memory,
            wait=wait,
            check=check,
            streams=streams,
            streams_from=self.deadlines.waits_from,
            open_stream=self._open_stream,
        )

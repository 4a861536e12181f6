"""The body of one response, from the pieces that a transport receives to the bytes that an answer carries.

Both transports use it. Whatever a server sends, the event loop is never held for long: a body is decoded in short steps, with
a checkpoint after every few of them, and its memory is counted together with that of all other answers (`memory`).
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import checkpoint

from pipeline.core.answers.meaning import APART_BYTES
from pipeline.core.answers.stream_starts import begins_as_stream, open_streamed_body
from pipeline.edges.http.decoding import Decoder
from pipeline.edges.http.memory import FREE_BYTES, STEP_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pipeline.edges.http.memory import AnswerMemory
    from pipeline.ports import OpenConsumer, StreamConsumer

LONG_BYTES = 4 << 20  # a longer body is put together as it comes: a join of 60 MB at its end would hold the event loop for 40 ms
JOIN_PIECES = 1024  # so many small pieces become one: each bytes object costs 33 bytes and a pointer besides its content

PAUSE_BYTES = 1 << 20  # between two checkpoints: to inflate so much takes 2 to 4 ms
FOLD_HERE = 100_000  # bytes of a stream; a block of more is folded in a thread: 250 kB of comments take 0.3 s


class Body:
    """Takes the pieces of one body, undoes its codings, and keeps the result. Owns its count in the memory of answers; `close` it.

    cap: bytes after decoding. wait: called when the memory is full, before the body grows; it waits for room, and may stop the
    clocks that run for the attempt. check: called after every checkpoint; raises if the attempt is over. streams: as `may_stream` says.
    streams_from: clock from which a stream is waited for, None for now. stream: who takes the body, if it is a stream.
    """

    __slots__ = (
        "_check",
        "_counts",
        "_decoder",
        "_fresh",
        "_joined",
        "_memory",
        "_open_stream",
        "_size",
        "_sniffs",
        "_streams_from",
        "_wait",
        "_whole",
        "stream",
    )

    def __init__(
        self,
        codings: Sequence[bytes],
        cap: int,
        memory: AnswerMemory,
        *,
        wait: Callable[[Body], Awaitable[None]],
        check: Callable[[], None] = lambda: None,
        streams: bool | None = None,
        streams_from: float | None = None,
        open_stream: OpenConsumer = open_streamed_body,
    ) -> None:
        self._open_stream = open_stream
        self._streams_from = streams_from
        self.stream: StreamConsumer | None = self._begin_stream() if streams else None
        self._sniffs = streams is False
        self._counts = False  # in the memory of answers
        self._decoder = Decoder(codings, cap) if codings else None
        self._memory = memory
        self._wait = wait
        self._check = check
        self._joined: list[bytes] = []
        self._fresh: list[bytes] = []
        self._whole: BytesIO | None = None  # of a long body
        self._size = 0

    async def take(self, pieces: list[bytes], now: float | None = None) -> None:
        """Take what has come. now: the clock, if it was read. A checkpoint only if there is much to do, or no room.

        Raises MalformedResponseError, and whatever `check` raises. Cancellation: the body is lost.
        """
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._decoder is None:
            stream = self.stream
            if stream is not None and data and self._size + len(data) <= FREE_BYTES:  # nearly every piece of a stream comes this way
                self._size += len(data)
                stream.take(data, trio.current_time() if now is None else now)
                return
            await self._add(data)
            return
        work = 0
        for piece in self._decoder.feed(data):
            await self._add(piece)
            work += len(piece) + STEP_BYTES
            if work >= PAUSE_BYTES:
                work = 0
                await checkpoint()
                self._check()

    async def finish(self) -> bytes:
        """The whole body, or what came of a stream. Raises MalformedResponseError if a coding is cut short.

        Cancellation: the body is lost.
        """
        if self._decoder is not None:
            self._decoder.finish()
        if self.stream is not None:
            return await _end(self.stream)
        if self._whole is not None:
            return self._whole.getvalue()  # no copy
        pieces = [*self._joined, *self._fresh]
        self._joined, self._fresh = [], []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Count no more. Calling it again does no harm."""
        self._memory.free(self)

    def _begin_stream(self) -> StreamConsumer:
        return self._open_stream(trio.current_time() if self._streams_from is None else self._streams_from)

    async def _add(self, piece: bytes) -> None:
        if not piece:
            return
        if self._sniffs:
            self._sniffs = False
            if begins_as_stream(piece):
                self.stream = self._begin_stream()
        stream = self.stream
        size = (self._size if stream is None else stream.held) + len(piece)
        if size > FREE_BYTES or self._counts:
            self._counts = True
            if self._memory.is_full_for(self):
                await self._wait(self)
                self._check()
            self._memory.hold(self, size)
        if stream is not None:
            stream.take(piece, trio.current_time())
            if due := stream.due:
                if due > FOLD_HERE:
                    await _fold(stream, due)
                    self._check()
                else:
                    stream.fold()
            return
        self._store(piece, size)

    def _store(self, piece: bytes, size: int) -> None:
        self._size = size
        if self._whole is not None:
            self._whole.write(piece)
            return
        self._fresh.append(piece)
        if size > LONG_BYTES:
            self._whole = BytesIO()
            self._whole.writelines([*self._joined, *self._fresh])
            self._joined, self._fresh = [], []
            return
        if len(self._fresh) >= JOIN_PIECES:
            self._joined.append(b"".join(self._fresh))
            self._fresh = []


async def _fold(stream: StreamConsumer, due: int) -> None:
    """Fold what is too much for the event loop."""
    if due <= APART_BYTES:
        await trio.to_thread.run_sync(stream.fold)
        return
    from pipeline.apart import apart  # noqa: PLC0415  few answers have so long an event
    from pipeline.core.answers.streamed_body import folded  # noqa: PLC0415  as above

    stream.adopt(await apart(folded, stream))


async def _end(stream: StreamConsumer) -> bytes:
    """What came of a stream."""
    held = stream.held
    if held <= FOLD_HERE:
        return stream.end()
    if held <= APART_BYTES:
        return await trio.to_thread.run_sync(stream.end)
    from pipeline.apart import apart  # noqa: PLC0415  few streams are so long
    from pipeline.core.answers.streamed_body import ended  # noqa: PLC0415  as above

    copy, content = await apart(ended, stream)
    stream.adopt(copy)
    return content

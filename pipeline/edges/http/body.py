"""The body of one response, from the pieces that a transport receives to the bytes that an answer carries.

Both transports use it. Whatever a server sends, the event loop is never held for long: a body is decoded in short steps, with
a checkpoint after every few of them, and its memory is counted together with that of all other answers (`memory`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio.lowlevel import checkpoint

from pipeline.edges.http.decoding import Decoder
from pipeline.edges.http.memory import FREE_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pipeline.edges.http.memory import AnswerMemory

JOIN_PIECES = 1024  # so many small pieces become one: each bytes object costs 33 bytes and a pointer besides its content

# Work between two checkpoints, in bytes of output. A step counts for some even if it gives nothing, such as the start of a gzip
# member (20 µs). 1 MiB of inflating takes 2 to 4 ms.
PAUSE_BYTES = 1 << 20
STEP_BYTES = 4096


class Body:
    """Takes the pieces of one body, undoes its codings, and keeps the result. Owns its count in the memory of answers; `close` it.

    cap: bytes after decoding. wait: called when the memory is full, before the body grows; it waits for room, and may stop the
    clocks that run for the attempt. check: called after every checkpoint; raises if the attempt is over.
    """

    __slots__ = ("_check", "_decoder", "_fresh", "_joined", "_memory", "_size", "_wait")

    def __init__(
        self,
        codings: Sequence[bytes],
        cap: int,
        memory: AnswerMemory,
        *,
        wait: Callable[[Body], Awaitable[None]],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._decoder = Decoder(codings, cap) if codings else None
        self._memory = memory
        self._wait = wait
        self._check = check
        self._joined: list[bytes] = []
        self._fresh: list[bytes] = []
        self._size = 0

    async def take(self, pieces: list[bytes]) -> None:
        """Take what has come. A checkpoint only if there is much to do, or no room.

        Raises MalformedResponseError, and whatever `check` raises. Cancellation: the body is lost.
        """
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._decoder is None:
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

    def finish(self) -> bytes:
        """The whole body. Raises MalformedResponseError if a coding is cut short."""
        if self._decoder is not None:
            self._decoder.finish()
        pieces = [*self._joined, *self._fresh]
        self._joined, self._fresh = [], []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Count no more. Calling it again does no harm."""
        self._memory.free(self)

    async def _add(self, piece: bytes) -> None:
        if not piece:
            return
        if self._size + len(piece) > FREE_BYTES:
            if self._memory.is_full_for(self):
                await self._wait(self)
                self._check()
            self._memory.hold(self, self._size + len(piece))
        self._size += len(piece)
        self._fresh.append(piece)
        if len(self._fresh) >= JOIN_PIECES:
            self._joined.append(b"".join(self._fresh))
            self._fresh = []

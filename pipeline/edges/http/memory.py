"""Bounds the memory of all answers that are being received at once, whatever their size and number.

A body counts from its 64 kB on, until its attempt is over. While the bodies together are over the limit, none of them grows,
except the one that has counted longest: it needs nothing of the others, so it ends, frees its bytes, and the next one goes on.
A body that waits here is not read from its socket meanwhile, so that the server waits as well.
"""

from __future__ import annotations

from trio.lowlevel import ParkingLot

MEBIBYTE = 1 << 20
LIMIT_BYTES = 256 * MEBIBYTE  # 60 answers of 4 MB; more of them at once wait for one another
FREE_BYTES = 64 * 1024  # a body below this is not counted: nearly all are
STEP_BYTES = 4096  # what a step of decoding counts for even if it gives nothing, such as the start of a gzip member (20 µs)


class AnswerMemory:
    """The bytes that bodies hold. An owner is whatever object stands for a body."""

    __slots__ = ("_held", "_limit", "_lot", "_used")

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._limit = limit
        self._held: dict[object, int] = {}  # in the order in which bodies began to count
        self._lot = ParkingLot()
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes that are counted now."""
        return self._used

    def hold(self, owner: object, size: int) -> None:
        """Count a body with its size so far."""
        more = size - self._held.get(owner, 0)
        self._used += more
        self._held[owner] = size
        if more < 0:  # a stream that was folded
            self._lot.unpark_all()

    def is_full_for(self, owner: object) -> bool:
        """Whether a body must wait before it grows."""
        return self._used > self._limit and next(iter(self._held)) is not owner

    async def wait(self, owner: object) -> None:
        """Wait until a body may grow. Cancellation: nothing has changed."""
        while self.is_full_for(owner):
            await self._lot.park()

    def free(self, owner: object) -> None:
        """Count a body no more. Calling it again does no harm."""
        size = self._held.pop(owner, None)
        if size is not None:
            self._used -= size
            self._lot.unpark_all()

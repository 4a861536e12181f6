"""Counts the bytes of requests that wait to be sent: the reader stops while there are too many, however many rows it might still read.

A request waits from the moment when its row is read until an attempt for it leaves, and again between attempts. What is in
flight does not count here, so memory is bounded by the limit and what is in flight. Short requests are not counted one by
one: the window in rows bounds them.

This is the one thing that stages share besides their channels: the reader adds and waits, the workers and the recorder take
away. A message for each row to the reader would cost more than the rest of this. Short requests are the rule, so `leave` and `forget`
need only be called for long ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.records import Job, Outcome

WINDOW_BYTES = 64_000_000
SHORT_BYTES = 4096  # a window of 4,000 rows of this length takes 16 MB


class Room:
    """The requests that wait, in bytes. limit: nothing more is read while more than so many do."""

    def __init__(self, limit: int = WINDOW_BYTES) -> None:
        self.limit = limit
        self.waiting = 0
        self._sizes: dict[int, int] = {}  # of long requests whose rows have no outcome yet
        self._freed = trio.Event()

    async def wait(self) -> None:
        """Wait until more may be read. No checkpoint if that is so already."""
        while self.waiting > self.limit:
            self._freed = trio.Event()
            await self._freed.wait()

    def enter(self, jobs: Iterable[Job]) -> None:
        """Count requests that were made."""
        for job in [job for job in jobs if len(job.body) > SHORT_BYTES]:
            self._sizes[job.index] = len(job.body)
            self.waiting += len(job.body)

    def leave(self, job: Job) -> None:
        """An attempt for a request leaves."""
        if len(job.body) > SHORT_BYTES:
            self._free(len(job.body))

    def come_back(self, job: Job) -> None:
        """The attempt has ended without an outcome: the request waits again."""
        if len(job.body) > SHORT_BYTES:
            self._sizes[job.index] = len(job.body)  # a row that is asked again may have a longer request
            self.waiting += len(job.body)
        else:
            self._sizes.pop(job.index, None)  # or a shorter one

    def forget(self, job: Job) -> None:
        """The attempt has ended with an outcome."""
        self._sizes.pop(job.index, None)

    def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Rows have outcomes; those that were decided while they waited wait no more."""
        if self._sizes:
            for outcome in outcomes:
                size = self._sizes.pop(outcome.index, 0)
                if size:
                    self._free(size)

    def _free(self, size: int) -> None:
        self.waiting -= size
        if self.waiting <= self.limit:
            self._freed.set()

"""The coordinator as an actor: parks messages until there is news, and saves the ages of the permits once a second.

It imports no Ray: the driver makes an actor of the class. Its methods are asynchronous, so that many messages can be parked at
once; none of them waits for anything else, and each leaves the coordinator whole. What goes wrong with one message must not reach
the others, so nothing is raised: a worker that was given up is told so in its answer.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from pipeline.core.cluster.coordination import CoordinatorCore, Kept, Picture
from pipeline.core.cluster.talk import Poll, SharedLane, Told
from pipeline.core.pacing.permits import GivenUpError
from pipeline.engines.rundir import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Callable

SAVE_SECONDS = 1.0
SAVED_AT_MOST = 2.0  # seconds ago, when a worker is answered: so whoever comes next knows when the last answer was given

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Poll).decode


class Setup(Struct, frozen=True):
    """What a coordinator is made of. directory: the run directory. expiry: see `CoordinatorCore`."""

    lanes: list[SharedLane]
    shards: list[int]
    expiry: float
    directory: str


class Saved(Struct):
    """What is saved. at: seconds since the epoch, because another machine may go on from it."""

    at: float
    kept: Kept


class Coordinator:
    """The run's coordinator. setup: a `Setup`, packed. clock: of this machine, in seconds. utc: seconds since the epoch."""

    def __init__(self, setup: bytes, *, clock: Callable[[], float] = time.monotonic, utc: Callable[[], float] = time.time) -> None:
        made = msgspec.msgpack.decode(setup, type=Setup)
        self._clock, self._utc = clock, utc
        self._directory = RunDirectory(Path(made.directory))
        self._parked: dict[str, asyncio.Event] = {}
        self._stale: set[asyncio.Event] = set()
        self._saved_at = clock()
        self._ticks: asyncio.Task[None] | None = None
        saved = self._last_saved()
        passed = 0.0 if saved is None else max(0.0, utc() - saved.at)
        self._core = CoordinatorCore(
            made.lanes,
            made.shards,
            expiry=made.expiry,
            now=clock(),
            kept=None if saved is None else saved.kept,
            epoch=int(1000 * utc()),
            passed=passed,
            hold=min(made.expiry, made.expiry + SAVED_AT_MOST - passed),
        )

    async def poll(self, data: bytes, park: float) -> bytes:
        """A worker's message, see `Poll`; its answer, see `Told`. park: seconds for which it may wait for news."""
        if self._ticks is None:
            self._ticks = asyncio.create_task(self._tick())
        poll = _decode(data)
        name = poll.worker
        before = self._parked.pop(name, None)
        if before is not None:
            self._stale.add(before)
            before.set()
        try:
            self._core.take(poll, self._clock())
        except GivenUpError:
            return _encode(self._core.answer(name, self._clock()))
        self._ring()
        if park > 0 and not self._core.has_news(name, self._clock()):
            bell = self._parked[name] = asyncio.Event()
            try:
                await asyncio.wait_for(bell.wait(), park)
            except TimeoutError:
                pass
            if bell in self._stale:
                self._stale.discard(bell)
                return _encode(Told(stale=True))
            self._parked.pop(name, None)
        if self._clock() - self._saved_at > SAVED_AT_MOST:
            self._save()
        return _encode(self._core.answer(name, self._clock()))

    async def lost(self, name: str, *, may_run: bool) -> None:
        """See `CoordinatorCore.lost`."""
        self._core.lost(name, self._clock(), may_run=may_run)
        self._ring()

    async def leave(self, name: str) -> None:
        """See `CoordinatorCore.leave`."""
        self._core.leave(name, self._clock())
        self._ring()

    async def stop(self, reason: str, *, cut_off: bool = False) -> None:
        """Let nothing more leave, anywhere. cut_off: nor let what is in flight finish."""
        self._core.stop(reason)
        self._core.cut_off = self._core.cut_off or cut_off
        self._ring()

    async def picture(self) -> bytes:
        """How far the run is, see `Picture`."""
        return _encode(self._core.picture())

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _ring(self) -> None:
        """Answer those for whom there is news."""
        now = self._clock()
        for name, bell in self._parked.items():
            if self._core.has_news(name, now):
                bell.set()

    async def _tick(self) -> None:
        while True:
            self._save()
            await asyncio.sleep(SAVE_SECONDS)
            self._core.look(self._clock())
            self._ring()

    def _save(self) -> None:
        self._saved_at = self._clock()
        try:
            self._directory.save_permits(msgspec.json.encode(Saved(self._utc(), self._core.kept(self._saved_at))))
        except OSError as error:
            self._core.stop(f"{self._directory.path} cannot be written to: {error.strerror or error}")
            self._ring()

    def _last_saved(self) -> Saved | None:
        saved = self._directory.saved_permits()
        try:
            return None if saved is None else msgspec.json.decode(saved, type=Saved)
        except msgspec.DecodeError:
            return Saved(self._utc(), Kept({}))  # nothing is known, so all may have been used just now


def picture_of(data: bytes) -> Picture:
    """A picture that came over the wire."""
    return msgspec.msgpack.decode(data, type=Picture)

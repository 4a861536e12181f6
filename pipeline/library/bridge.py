"""Between an asyncio loop and trio in a thread: calls that wait for each other without either loop standing still.

Theory of operation. `TrioThread.run` starts a daemon thread with its own trio loop and waits for it in asyncio. What has to
cross goes by the two calls that are safe from other threads: `loop.call_soon_threadsafe` into asyncio, and
`TrioToken.run_sync_soon` into trio. Outcomes cross in a `Handover`, a small buffer: trio waits while it is full, asyncio while it is
empty, and the other side is only woken if it waits, so that a fast flow costs a wake-up per buffer and not per row.

Cancellation from asyncio cancels trio's scope; the task then waits until the thread has ended, so that nothing is sent behind its
back. A second cancellation does not wait. An exception in the thread is raised where the task waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from pipeline.edges.sources.memory import Row
    from pipeline.summaries import Progress

T = TypeVar("T")

BUFFERED = 64  # outcomes that wait for their reader


class TrioThread:
    """One trio loop in one thread, for one call."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()
        self._lock = threading.Lock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watches: list[asyncio.Task[None]] = []

    async def run(self, main: Callable[[], Awaitable[T]]) -> T:
        """Run an async function under trio, and give what it returns. Raises what it raises.

        Cancellation: the function is cancelled, and this waits for its end.
        """
        self._loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = self._loop.create_future()
        threading.Thread(target=self._work, args=(main, done), name="headrace-trio", daemon=True).start()
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            self._cancel()
            with suppress(Exception):
                await asyncio.shield(done)
            raise
        finally:
            for watch in self._watches:
                watch.cancel()

    def in_loop(self, function: Callable[[Progress], None] | None) -> Callable[[Progress], None] | None:
        """A function that calls another one in the asyncio loop; None stays None."""
        return None if function is None else lambda progress: self._call(function, progress)

    def call_when_set(self, event: asyncio.Event, function: Callable[[], object]) -> None:
        """Call a function under trio when an event of the asyncio loop is set. Called under trio."""
        token = trio.lowlevel.current_trio_token()

        async def watch() -> None:
            await event.wait()
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(function)

        self._call(lambda: self._watches.append(asyncio.ensure_future(watch())))

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(function, *arguments)

    def _cancel(self) -> None:
        with self._lock:
            if self._token is None:
                self._scope.cancel()  # trio has not begun: nobody else touches the scope
                return
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._scope.cancel)

    def _work(self, main: Callable[[], Awaitable[T]], done: asyncio.Future[T]) -> None:
        async def whole() -> T:
            with self._lock:
                self._token = trio.lowlevel.current_trio_token()
            with self._scope:
                return await main()
            raise asyncio.CancelledError

        try:
            result = trio.run(whole)
        except BaseException as error:  # noqa: BLE001  it is raised where the task waits
            self._call(_unless_done, done.set_exception, done, error)
        else:
            self._call(_unless_done, done.set_result, done, result)


def _unless_done(settle: Callable[[object], None], done: asyncio.Future[object], value: object) -> None:
    if done.done():
        return
    if isinstance(value, asyncio.CancelledError):
        done.cancel()
    else:
        settle(value)


class Handover(Generic[T]):
    """A bounded buffer from trio to asyncio. `put` is called under trio, everything else in the asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._items: deque[T] = deque()
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._room: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    async def put(self, item: T) -> None:
        """Hand an item over; waits while the buffer is full. Cancellation: the item is handed over all the same."""
        with self._lock:
            self._items.append(item)
            reader, self._reader = self._reader, None
            room = trio.Event() if len(self._items) >= BUFFERED else None
            self._room, self._token = room, trio.lowlevel.current_trio_token()
        if reader is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(_wake, reader)
        if room is not None:
            await room.wait()

    async def take(self) -> T | None:
        """The next item; None after the last one."""
        while True:
            with self._lock:
                if self._items:
                    item = self._items.popleft()
                    self._make_room()
                    return item
                if self._ended:
                    return None
                reader = self._reader = self._loop.create_future()
            await reader

    def end(self, _: object = None) -> None:
        """Nothing more will be put."""
        with self._lock:
            self._ended = True
            reader, self._reader = self._reader, None
        if reader is not None:
            _wake(reader)

    def _make_room(self) -> None:
        if self._room is not None and self._token is not None and len(self._items) <= BUFFERED // 2:
            room, self._room = self._room, None
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(room.set)


def _wake(reader: asyncio.Future[None]) -> None:
    if not reader.done():
        reader.set_result(None)


class RowsOfLoop(AsyncIterator["Row"]):
    """Rows of an asyncio iterator, for a reader under trio: each one is awaited in the asyncio loop. Made in that loop."""

    def __init__(self, rows: AsyncIterable[Row]) -> None:
        self._rows = aiter(rows)
        self._loop = asyncio.get_running_loop()

    @staticmethod
    def of(rows: Iterable[Row] | AsyncIterable[Row]) -> Iterable[Row] | AsyncIterable[Row]:
        """Rows that can be read under trio: those of an async iterator by way of its loop, all others as they are."""
        return RowsOfLoop(rows) if isinstance(rows, AsyncIterable) else rows

    @staticmethod
    async def close(rows: object) -> None:
        """Close the iterator behind rows that were not read to the end."""
        close = getattr(rows._rows, "aclose", None) if isinstance(rows, RowsOfLoop) else None  # noqa: SLF001  its own
        if close is not None:
            await close()

    async def __anext__(self) -> Row:
        loop, token, there = self._loop, trio.lowlevel.current_trio_token(), trio.Event()
        pulls: list[asyncio.Task[Row]] = []

        def told(_: object) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(there.set)

        def pull() -> None:
            pulls.append(asyncio.ensure_future(self._next(), loop=loop))
            pulls[0].add_done_callback(told)

        def give_up() -> None:
            pulls[0].cancel()

        loop.call_soon_threadsafe(pull)
        try:
            await there.wait()
        except trio.Cancelled:
            loop.call_soon_threadsafe(give_up)
            raise
        try:
            return pulls[0].result()
        except _EndError:
            raise StopAsyncIteration from None

    async def _next(self) -> Row:
        try:
            return await anext(self._rows)
        except StopAsyncIteration:
            raise _EndError from None


class _EndError(Exception):
    """The rows have ended. A future cannot hold a StopAsyncIteration of its own."""

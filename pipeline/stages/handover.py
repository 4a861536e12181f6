"""A channel that is read within the very call that sends: from the gate to the workers.

Theory of operation. Through an ordinary channel a message waits for the reader's next turn, which costs a pass of the scheduler: one look
at all sockets, and a switch. Here the reader is a light task (`light`), and a message resumes it: when `send_nowait` returns, the tickets
are with their workers, and the requests have left. Only while the reader waits for something else do messages queue up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.light import Resumed

T = TypeVar("T")


class Handover(Generic[T]):
    """The channel itself, without a bound; its writer's end. Closed by `with`, or when nobody reads any more."""

    __slots__ = ("_closed", "_messages", "_read", "_waiting")

    def __init__(self) -> None:
        self._messages: deque[T] = deque()
        self._waiting: Resumed | None = None
        self._closed = False  # nothing more will be sent
        self._read = True  # or nobody reads any more

    def ends(self) -> tuple[Handover[T], Hand[T]]:
        """The writer's end, and the reader's."""
        return self, Hand(self)

    def send_nowait(self, value: T, /) -> None:
        """Send. Raises trio.BrokenResourceError if nobody reads any more, trio.ClosedResourceError."""
        if self._closed:
            raise trio.ClosedResourceError
        if not self._read:
            raise trio.BrokenResourceError
        self._messages.append(value)
        self._resume()

    def close(self) -> None:
        """Send nothing more. Closing it again does nothing."""
        self._closed = True
        self._resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def take(self) -> T | None:
        """The oldest message, or None if there is none."""
        return self._messages.popleft() if self._messages else None

    def hold(self, waiting: Resumed) -> None:
        """Keep the reader until there is a message, or until none will come."""
        self._waiting = waiting
        if self._messages or self._closed:
            self._resume()

    def end(self) -> None:
        """Nobody reads any more; what is there is dropped."""
        self._read, self._waiting = False, None
        self._messages.clear()

    def _resume(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.resume()


class Hand(Generic[T]):
    """The reader's end."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Handover[T]) -> None:
        self._channel = channel

    async def receive(self) -> T | None:
        """The next message, or None once none will come. For a light task."""
        message = self._channel.take()
        if message is None:
            await self
            message = self._channel.take()
        return message

    def __await__(self) -> Generator[Handover[T], None, None]:
        """Wait for a message."""
        yield self._channel

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._channel.end()

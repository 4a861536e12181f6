"""A channel with many writers and one reader who takes all that is there at once: a third of what trio's memory channel costs.

Two messages a row go this way, the report and the outcome. A memory channel hands each to a waiting reader by itself, and gives the
others one by one. Here a message is put into a list, and only the first one after a wait wakes the reader.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

if TYPE_CHECKING:
    from types import TracebackType

    from trio.lowlevel import Task

T = TypeVar("T")
S_contra = TypeVar("S_contra", contravariant=True)


class Outlet(Protocol[S_contra]):
    """The end of a channel that a stage sends to: a `Post`, or trio's `MemorySendChannel`. Whoever is given it closes it."""

    def send_nowait(self, value: S_contra, /) -> None:
        """Send. Raises trio.BrokenResourceError if nobody will read it, trio.WouldBlock if there is no room."""

    def __enter__(self) -> object:
        """To close it at the end of a block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        """Close it."""


class Mailbox(Generic[T]):
    """The channel itself. room: messages that it holds; who sends must know that it will not be more."""

    __slots__ = ("closed", "ended", "messages", "reader", "room", "writers")

    def __init__(self, room: int) -> None:
        self.messages: deque[T] = deque()
        self.room = room
        self.reader: Task | None = None  # waits
        self.writers = 1
        self.closed = False  # nobody reads any more
        self.ended = trio.Event()  # nobody writes any more

    def ends(self) -> tuple[Post[T], Inbox[T]]:
        """The end of the first writer, and the reader's."""
        return Post(self), Inbox(self)

    def wake(self) -> None:
        """Let the reader go on, if it waits."""
        if self.reader is not None:
            reschedule(self.reader)
            self.reader = None


class Post(Generic[T]):
    """A writer's end. Each writer has its own, by `clone`, and closes it; the channel ends when all are closed."""

    __slots__ = ("_box", "_open")

    def __init__(self, box: Mailbox[T]) -> None:
        self._box = box
        self._open = True

    def send_nowait(self, value: T, /) -> None:
        """Send. Raises trio.BrokenResourceError, trio.WouldBlock, trio.ClosedResourceError."""
        box = self._box
        if not self._open or len(box.messages) >= box.room:
            raise self._trouble()
        box.messages.append(value)
        if box.reader is not None:
            box.wake()

    def _trouble(self) -> Exception:
        if not self._open:
            return trio.ClosedResourceError()
        return trio.BrokenResourceError() if self._box.closed else trio.WouldBlock()

    async def send(self, value: T, /) -> None:
        """Send, with a checkpoint. There is always room, or `send_nowait` says so."""
        self.send_nowait(value)
        await trio.lowlevel.checkpoint()

    def clone(self) -> Post[T]:
        """An end for another writer."""
        if not self._open:
            raise trio.ClosedResourceError
        self._box.writers += 1
        return Post(self._box)

    def close(self) -> None:
        """Send nothing more. Closing it again does nothing."""
        if self._open:
            self._open = False
            self._box.writers -= 1
            if not self._box.writers:
                self._box.ended.set()
                self._box.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Inbox(Generic[T]):
    """The reader's end."""

    __slots__ = ("_box",)

    def __init__(self, box: Mailbox[T]) -> None:
        self._box = box

    @property
    def ended(self) -> trio.Event:
        """Set when nothing more will be sent."""
        return self._box.ended

    async def take(self) -> list[T]:
        """Wait for a message, and give all that are there, oldest first.

        Raises trio.EndOfChannel when no message will ever come. Cancellation: nothing is lost.
        """
        await self._arrival()
        return self.take_nowait()

    def take_nowait(self) -> list[T]:
        """All messages that are there, oldest first."""
        messages = list(self._box.messages)
        self._box.messages.clear()
        return messages

    def put_back(self, messages: list[T]) -> None:
        """Put messages that were taken in front of all that are there."""
        self._box.messages.extendleft(reversed(messages))

    async def receive(self) -> T:
        """Wait for one message. Otherwise as `take`."""
        await self._arrival()
        return self._box.messages.popleft()

    def receive_nowait(self) -> T:
        """One message. Raises trio.WouldBlock if there is none, trio.EndOfChannel if none will come."""
        if self._box.messages:
            return self._box.messages.popleft()
        raise trio.WouldBlock if self._box.writers else trio.EndOfChannel

    async def _arrival(self) -> None:
        """Return once there is a message."""
        box = self._box
        if box.messages or not box.writers or box.closed:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not box.messages:
            if box.closed:
                raise trio.ClosedResourceError
            if not box.writers:
                raise trio.EndOfChannel
            box.reader = current_task()

            def leave(_: object) -> Abort:
                box.reader = None
                return Abort.SUCCEEDED

            await wait_task_rescheduled(leave)

    def close(self) -> None:
        """Read nothing more; what is there is dropped."""
        self._box.closed = True
        self._box.room = 0
        self._box.messages.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

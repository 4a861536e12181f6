"""How messages move between stages: in groups, because a hop through a channel costs the same for one row as for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from pipeline.stages.mailbox import Inbox

if TYPE_CHECKING:
    from trio import MemoryReceiveChannel

T = TypeVar("T")


async def take(channel: MemoryReceiveChannel[T] | Inbox[T]) -> list[T]:
    """Wait for one message and return all that are there, oldest first.

    Raises trio.EndOfChannel when no message will ever come.
    Cancellation: nothing is lost; a message is taken only after the wait has ended well.
    """
    if isinstance(channel, Inbox):
        return await channel.take()
    return [await channel.receive(), *take_nowait(channel)]


def take_nowait(channel: MemoryReceiveChannel[T] | Inbox[T]) -> list[T]:
    """All messages that are there, oldest first; an empty list when there are none or none will come."""
    if isinstance(channel, Inbox):
        return channel.take_nowait()
    group: list[T] = []
    try:
        while True:
            group.append(channel.receive_nowait())
    except (trio.WouldBlock, trio.EndOfChannel):
        return group

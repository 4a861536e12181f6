"""The loop of the peers on headrace's transport: all work is prepared, and then shared by as many workers as may be in flight."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import trio

from benchmarks.peers.task import Task, cpu_seconds

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

Item = TypeVar("Item")
Ask = Callable[[Item], Awaitable[str | None]]
Answers = list[str | None]


async def ask_all(items: Sequence[Item], in_flight: int, open_ask: Callable[[], AbstractContextManager[Ask[Item]]]) -> Answers:
    """The answer to each item, in its place. open_ask: entered once by each worker; gives what sends an item."""
    answers: Answers = [None] * len(items)
    rest = iter(enumerate(items))

    async def work() -> None:
        with open_ask() as ask:
            for index, item in rest:
                answers[index] = await ask(item)

    async with trio.open_nursery() as nursery:
        for _ in range(min(in_flight, len(items))):
            nursery.start_soon(work)
    return answers


def main(prepare: Callable[[Task], Sequence[Item]], send: Callable[[Task, Sequence[Item]], Awaitable[Answers]]) -> None:
    """Prepare, read the clock, send, report."""
    task = Task.load()
    items = prepare(task)
    ready = cpu_seconds()
    task.finish(trio.run(send, task, items), ready=ready)

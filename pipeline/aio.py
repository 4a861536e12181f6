"""The three ways to run for asyncio (FastAPI, Jupyter, scripts): the same calls as in `pipeline`, awaited from an asyncio task.

    outcomes = await pipeline.aio.run_batch(prompts, config)
    async for outcome in pipeline.aio.stream(config, rows): ...
    summary = await pipeline.aio.run(config)

Each call runs trio in a thread of its own, so that neither loop can hold up the other; why: docs/decisions/0012-asyncio.md.
Cancellation: cancelling the task cancels the run, and waits until its thread has ended. Attempts in flight are lost; what was
answered and is in a file is kept. Rows of an async iterator are taken in the asyncio loop, those of any other in the thread, and
`progress` is called in the asyncio loop. Observers and transports are used in the thread, under trio.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import trio

from pipeline.config.load import given_config
from pipeline.library.batch import collect, with_journal
from pipeline.library.bridge import Handover, RowsOfLoop, TrioThread
from pipeline.library.frames import rows_of
from pipeline.runs.run import run as run_in_trio
from pipeline.runs.stream import stream as stream_in_trio

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence
    from types import TracebackType

    import httpx

    from pipeline.config import Config
    from pipeline.edges.sources.memory import Row
    from pipeline.library.outcomes import Outcomes
    from pipeline.ports import Observer
    from pipeline.records import Outcome
    from pipeline.runs.stream import OutcomeStream
    from pipeline.summaries import Progress, Summary

__all__ = ["run", "run_batch", "stream"]


async def run(
    config: Config | str | os.PathLike[str],
    *,
    fresh: bool = False,
    limit: int | None = None,
    accept_changes: bool = False,
    retry_failed: bool | str = False,
    stop: asyncio.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
    observers: Sequence[Observer] = (),
) -> Summary:
    """`pipeline.run`, awaited from asyncio. stop: set it to let nothing more leave, finish what is in flight and end."""
    thread = TrioThread()
    call = partial(run_in_trio, fresh=fresh, limit=limit, accept_changes=accept_changes, retry_failed=retry_failed)

    async def main() -> Summary:
        stopped = trio.Event()
        if stop is not None:
            thread.call_when_set(stop, stopped.set)
        return await call(config, stop=stopped, progress=thread.in_loop(progress), observers=observers)

    return await thread.run(main)


async def run_batch(
    prompts: Iterable[Row] | AsyncIterable[Row],
    config: Config | str | os.PathLike[str],
    *,
    journal: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
) -> Outcomes:
    """`pipeline.run_batch`, awaited from asyncio."""
    thread = TrioThread()
    rows = RowsOfLoop.of(prompts)
    show = thread.in_loop(progress) if callable(progress) else progress
    try:
        return await thread.run(partial(collect, rows, config, journal, show, transport, observers))
    finally:
        await RowsOfLoop.close(rows)


def stream(
    config: Config | str | os.PathLike[str],
    rows: Iterable[Row] | AsyncIterable[Row],
    *,
    journal: str | os.PathLike[str] | None = None,
    progress: Callable[[Progress], None] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
) -> AioStream:
    """The same as `pipeline.stream` for asyncio: outcomes as they come, in order and with backpressure.

    Leave the loop early inside `async with stream(…) as outcomes`, so that the attempts in flight end with the block.
    """
    whole = with_journal(given_config(config), journal)
    return AioStream(partial(stream_in_trio, whole, transport=transport, observers=observers), rows, progress)


class AioStream:
    """Outcomes of a flow that runs in a thread, from the first outcome that is asked for. Made by `stream`."""

    def __init__(
        self,
        open_stream: partial[OutcomeStream],
        rows: Iterable[Row] | AsyncIterable[Row],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._open_stream = open_stream
        self._rows = rows_of(RowsOfLoop.of(rows))
        self._progress = progress
        self._thread = TrioThread()
        self._handover: Handover[Outcome] | None = None
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if self._handover is None:
            self._handover = Handover(asyncio.get_running_loop())
            self._running = asyncio.create_task(self._thread.run(partial(self._follow, self._handover)))
            self._running.add_done_callback(self._handover.end)
        outcome = await self._handover.take()
        if outcome is not None:
            return outcome
        if self._running is not None:
            running, self._running = self._running, None
            await running  # raises what ended the flow
        await RowsOfLoop.close(self._rows)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop sending, drop what is in flight, and end the iteration."""
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await running
        await RowsOfLoop.close(self._rows)

    async def _follow(self, handover: Handover[Outcome]) -> None:
        async with self._open_stream(self._rows, progress=self._thread.in_loop(self._progress)) as results:
            async for outcome in results:
                await handover.put(outcome)

"""`run(config)`: opens the input, the output and the provider, runs the flow between them, and sums up."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import trio

from pipeline.assembly import Course, api_key, flow_settings, job_maker, open_provider
from pipeline.core.batch import encode_batch, encode_flat
from pipeline.edges.rows import RowSource
from pipeline.edges.sink import FileSink
from pipeline.errors import RunAborted, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.edges.rows import RawRow
    from pipeline.records import Outcome, Progress, Summary


async def run(
    config: Config,
    *,
    fresh: bool = False,
    limit: int | None = None,
    stop: trio.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Run the pipeline to its end: one output line for every input row.

    fresh: move an existing output aside and start over. limit: only the first so many rows. stop: set it to let
    nothing more leave, finish what is in flight and end. progress: called about once a second, and at the end.

    Raises ConfigError, InputError, OutputExistsError before anything is sent; RunAborted when going on is pointless or
    impossible; RunInterrupted after `stop`. The last two carry the summary of what was done.
    Cancellation: the output is a whole prefix of the input's order; attempts in flight are lost.
    """
    course = Course(config, trio.Event() if stop is None else stop, progress)
    key = api_key(config.provider)
    with ExitStack() as opened:
        jobs = opened.enter_context(closing(job_maker(config)))
        source = opened.enter_context(closing(RowSource.open(config.source.path)))
        sink = opened.enter_context(closing(FileSink.open(config.sink.path, fresh=fresh)))

        async def take_rows(most: int) -> list[RawRow]:
            return await trio.to_thread.run_sync(source.take, most, abandon_on_cancel=True)

        emitter = FileEmitter(sink, encode_batch if config.sink.shape.value == "batch" else encode_flat)
        try:
            async with open_provider(config, key) as open_sender:
                await course.follow(flow_settings(config, take_rows, jobs, open_sender, emitter, limit))
        except ExceptionGroup as group:
            failed, others = group.split(SinkError)
            if failed is None or others is not None:
                raise
            raise RunAborted(_first(failed), course.summary(sink.digest)) from group
        return course.conclude(sink.digest)


def _first(group: BaseExceptionGroup[SinkError]) -> str:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else str(error)


class FileEmitter:
    """Encodes outcomes and appends them to a file, in a thread: a slow disk must not stall the senders."""

    def __init__(self, sink: FileSink, encode: Callable[[Outcome], bytes]) -> None:
        self._sink = sink
        self._encode = encode

    async def emit(self, outcomes: list[Outcome]) -> None:
        """Append a group. Raises SinkError when the file takes no more.

        Cancellation: the group is written whole before it is heeded.
        """
        await trio.to_thread.run_sync(self._sink.write, self._lines(outcomes))

    def _lines(self, outcomes: list[Outcome]) -> bytes:
        return b"".join(map(self._encode, outcomes))

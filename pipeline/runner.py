"""`run(config)`: opens the input, the output and the provider, runs the flow between them, and sums up."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from pipeline.assembly import Course, api_key, flow_settings, identity_of, job_maker, open_provider
from pipeline.core.batch import encode_batch, encode_flat
from pipeline.durable import Paths, open_durable, skip_done
from pipeline.edges.rows import RowSource
from pipeline.errors import JournalError, RunAborted, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import Config
    from pipeline.durable import DurableOutput
    from pipeline.edges.rows import RawRow
    from pipeline.records import Progress, Summary


async def run(
    config: Config,
    *,
    fresh: bool = False,
    limit: int | None = None,
    accept_changes: bool = False,
    stop: trio.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Run the pipeline to its end: one output line for every input row. Goes on where an earlier run of it has stopped.

    fresh: move what an earlier run left aside and start over. limit: only the first so many rows. accept_changes: go on
    although the input or the config is another. stop: set it to let nothing more leave, finish what is in flight and
    end. progress: called about once a second, and at the end.

    Raises UsageError (ConfigError, InputError, OutputExistsError, RunChangedError) before anything is sent; RunAborted
    when going on is pointless or impossible; RunInterrupted after `stop`. The last two carry the summary of what was
    done, and the run can go on later.
    Cancellation: attempts in flight are lost; everything that was answered is kept.
    """
    course = Course(config, trio.Event() if stop is None else stop, progress)
    key = api_key(config.provider)
    with ExitStack() as opened:
        jobs = opened.enter_context(closing(job_maker(config)))
        source = opened.enter_context(closing(RowSource.open(config.source.path)))
        durable = opened.enter_context(closing(await trio.to_thread.run_sync(partial(_open, config, fresh=fresh, accept_changes=accept_changes))))
        await trio.to_thread.run_sync(partial(skip_done, config.source.path, source, jobs, durable, accept_changes=accept_changes))
        course.go_on_from(durable.state)

        async def take_rows(most: int) -> list[RawRow]:
            return await trio.to_thread.run_sync(source.take, most, abandon_on_cancel=True)

        try:
            async with open_provider(config, key) as open_sender:
                settings = flow_settings(
                    config,
                    take_rows,
                    partial(durable.make_jobs, jobs.make_jobs),
                    open_sender,
                    durable,
                    limit=limit,
                    recorder=durable,
                    note_sent=durable.marks.mark,
                )
                await course.follow(settings)
            await trio.to_thread.run_sync(durable.finish)
        except (ExceptionGroup, SinkError, JournalError) as error:
            reason = _disk_trouble(error)
            if reason is None:
                raise
            raise RunAborted(reason, course.summary(durable.sink.digest)) from error
        return course.conclude(durable.sink.digest)


def _open(config: Config, *, fresh: bool, accept_changes: bool) -> DurableOutput:
    output = Path(config.sink.path)
    journal = output.with_name(output.name + ".journal") if config.journal.path is None else Path(config.journal.path)
    return open_durable(
        Paths(output, journal),
        identity_of(config),
        encode_batch if config.sink.shape.value == "batch" else encode_flat,
        in_order=config.sink.order.value == "input",
        power=config.journal.durability.value == "power",
        fresh=fresh,
        accept_changes=accept_changes,
    )


def _disk_trouble(error: Exception) -> str | None:
    """What a disk said that takes no more, if that is all that went wrong."""
    if isinstance(error, ExceptionGroup):
        reasons = [_disk_trouble(inner) for inner in error.exceptions]
        return None if None in reasons else reasons[0]
    return str(error) if isinstance(error, (SinkError, JournalError)) else None

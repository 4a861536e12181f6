"""`run(config)`: opens the input, the output and the provider, runs the flow between them, and sums up."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

import trio

from pipeline.core.output.lines import encode_batch, encode_flat
from pipeline.durability.catch_up import pass_over
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.durability.reuse import CountedJobs
from pipeline.edges.sources.file import RowSource
from pipeline.errors import (
    CacheError,
    InputError,
    JournalDamagedError,
    JournalError,
    OutputChangedError,
    OutputExistsError,
    RunAborted,
    RunInterrupted,
    SinkError,
)
from pipeline.runs.assembly import Course, cancel_at, credentials, flow_settings, identity_of, job_maker, open_provider, reuse_of
from pipeline.stages.gate import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from pipeline.config import Config
    from pipeline.durability.output import DurableOutput
    from pipeline.edges.sources.file import RawRow
    from pipeline.records import Progress, Summary


async def run(
    config: Config,
    *,
    fresh: bool = False,
    limit: int | None = None,
    accept_changes: bool = False,
    retry_failed: bool = False,
    stop: trio.Event | None = None,
    give_up: trio.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Summary:
    """Run the pipeline to its end: one output line for every input row. Goes on where an earlier run of it has stopped.

    fresh: move what an earlier run left aside and start over. limit: only the first so many rows. accept_changes: go on
    although the input, the config or the output is another. retry_failed: send rows again that failed for a reason that
    may have passed; their results take the places of the failures. stop: set it to let nothing more leave, finish what
    is in flight and end. give_up: set it too to cut off what is in flight. progress: called about once a second, and at
    the end. transport: any of httpx's, to carry the requests in place of the configured one; you close it.

    Raises UsageError (ConfigError, InputError, OutputExistsError, RunChangedError) before anything is sent; RunAborted
    when going on is pointless or impossible; RunInterrupted after `stop`. The last two carry the summary of what was
    done, and the run can go on later.
    Cancellation: attempts in flight are lost; everything that was answered is kept.
    """
    course = Course(config, trio.Event() if stop is None else stop, progress)
    shown = credentials(config.provider)
    provider = open_provider(config, shown, transport)
    with ExitStack() as opened:
        jobs = opened.enter_context(closing(job_maker(config)))
        source = opened.enter_context(closing(await _open_source(config.source.path, course)))
        reuse = None if config.cache is None else opened.enter_context(closing(await trio.to_thread.run_sync(reuse_of, config, None)))
        opening = partial(_open, config, fresh=fresh, accept_changes=accept_changes, retry_failed=retry_failed)
        durable = opened.enter_context(closing(await trio.to_thread.run_sync(opening)))
        if config.dedupe and reuse is None:  # its file belongs to the journal, which is locked only now
            reuse = opened.enter_context(closing(await trio.to_thread.run_sync(reuse_of, config, _paths(config).answers)))
        counted = jobs if reuse is None or reuse.occurrences is None else CountedJobs(jobs, reuse)
        passing = partial(pass_over, config.source.path, source, counted, durable, accept_changes=accept_changes)
        await trio.to_thread.run_sync(passing)
        course.go_on_from(durable.state)

        async def take_rows(most: int) -> list[RawRow]:
            return await trio.to_thread.run_sync(source.take, most, abandon_on_cancel=True)

        try:
            async with provider as open_sender:
                settings = flow_settings(
                    config, take_rows, jobs.make_jobs, open_sender, durable, limit=limit, reuse=reuse, secrets=shown.secrets
                )
                await course.follow(settings, give_up)
            await trio.to_thread.run_sync(durable.finish, course.rows_seen(limit))
            course.unknown = durable.state.unknown
        except (ExceptionGroup, SinkError, JournalError, CacheError) as error:
            reason = _disk_trouble(error)
            if reason is None:
                raise
            raise RunAborted(reason, course.summary(durable.sink.digest)) from error
        summary = course.conclude(durable.sink.digest)
        if reuse is not None and config.cache is None and course.rows_seen(limit) is not None:
            reuse.close()
            _paths(config).remove_answers()
        return summary


async def _open_source(path: str, course: Course) -> RowSource:
    """Open the input, in a thread: a pipe waits there for its writer.

    Raises InputError; RunInterrupted when the course is to stop meanwhile.
    """

    def attempt() -> RowSource | InputError:
        try:
            return RowSource.open(path)
        except InputError as error:
            return error  # a nursery would wrap it

    source: RowSource | InputError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_at, course.stop, nursery.cancel_scope)
        source = await trio.to_thread.run_sync(attempt, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()
    if source is None:
        raise RunInterrupted(INTERRUPTED, course.summary())
    if isinstance(source, InputError):
        raise source
    return source


def _paths(config: Config) -> Paths:
    return Paths.of(config.sink.path, config.journal.path)


def _open(config: Config, *, fresh: bool, accept_changes: bool, retry_failed: bool) -> DurableOutput:
    paths = _paths(config)
    kind = Kind(
        encode_batch if config.sink.shape.value == "batch" else encode_flat,
        config.sink.order.value == "input",
        config.journal.durability.value == "power",
    )

    def renew_it() -> None:
        from pipeline.durability.rebuild import renew_journal  # noqa: PLC0415  3 ms that few runs need

        renew_journal(paths, identity_of(config))

    def rebuild_it(*, keep_failures: bool) -> None:
        from pipeline.durability.rebuild import rebuild  # noqa: PLC0415  3 ms that few runs need

        rebuild(paths, kind, config.source.path, identity_of(config), accept_changes=accept_changes, keep_failures=keep_failures)

    def opening(*, fresh: bool = False) -> DurableOutput:
        open_it = partial(open_durable, paths, kind, identity_of(config), accept_changes=accept_changes)
        try:
            return open_it(fresh=fresh)
        except (OutputChangedError, OutputExistsError, JournalDamagedError) as error:
            if not accept_changes:
                raise
            if not isinstance(error, OutputChangedError):
                renew_it()
            rebuild_it(keep_failures=True)
            return open_it()

    if retry_failed and not fresh:
        opening().close()  # all that must hold before lines are taken from there
        rebuild_it(keep_failures=False)
    return opening(fresh=fresh)


def _disk_trouble(error: Exception) -> str | None:
    """What a disk said that takes no more, if that is all that went wrong."""
    if isinstance(error, ExceptionGroup):
        reasons = [_disk_trouble(inner) for inner in error.exceptions]
        return None if None in reasons else reasons[0]
    return str(error) if isinstance(error, (SinkError, JournalError, CacheError)) else None

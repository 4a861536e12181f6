"""Runs one shard: the flow of any run, over a part of the input, into a part of the output, with a journal of its own."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import frozen
from msgspec.structs import replace

from pipeline.core.answers.secrets import Secrets
from pipeline.core.output.written import FailureChoice
from pipeline.edges.sources.pieces import see_that_it_is_planned
from pipeline.engines.plan import repeats_in, shard_source
from pipeline.engines.rundir import Done, RunDirectory
from pipeline.errors import RunAborted, RunInterrupted
from pipeline.runs.assembly import Extent
from pipeline.runs.carrying import carry
from pipeline.runs.course import Course
from pipeline.runs.opening import Choices, open_run
from pipeline.runs.providers import credentials, open_providers, secrets_of
from pipeline.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from pipeline.config import Config
    from pipeline.core.cluster.plan import Plan, Shard
    from pipeline.ports import LimitLease
    from pipeline.runs.opening import OpenedRun
    from pipeline.runs.providers import Providers
    from pipeline.summaries import Progress

LEASED = "engine"  # the name of the share in a worker's config; its leases are given, so nobody looks for it


@frozen
class Place:
    """Where a worker finds the run. scratch: a folder on a local disk for the journals; None puts them beside the parts."""

    directory: RunDirectory
    plan: Plan
    scratch: Path | None = None


@frozen
class ShardResult:
    """How a shard has ended. done: of its part if it is whole. stopped: why it is not. interrupted: because of `stop`."""

    number: int
    summary: Summary
    done: Done | None = None
    stopped: str | None = None
    interrupted: bool = False


@frozen
class Opened:
    """What the shards of one worker have in common: open providers, and what no message may show."""

    providers: Providers
    secrets: Secrets


@asynccontextmanager
async def opened_providers(config: Config) -> AsyncIterator[Opened]:
    """Open the providers of a config for all shards of a worker. Raises ConfigError."""
    shown = await trio.to_thread.run_sync(credentials, config)
    secrets = Secrets(secrets_of(shown))
    async with open_providers(config, shown, hide=secrets.add) as providers:
        yield Opened(providers, secrets)


async def run_shard(
    config: Config,
    shard: Shard,
    place: Place,
    *,
    leases: Mapping[int, LimitLease],
    events: Callable[[Progress], None] | None = None,
    stop: trio.Event,
    give_up: trio.Event | None = None,
    input_read: trio.Event | None = None,
    opened: Opened | None = None,
    limit: int | None = None,
) -> ShardResult:
    """Run a shard to its end, or go on with it where a worker has left it, and list its part once it is whole.

    config: of the run. leases: for each lane with limits, by its index, its share of them; without any each shard keeps to the limits by
    itself. events: called about twice a second, and at the end. stop: set it to let nothing more leave and finish what is in
    flight; give_up: set it too to cut that off. input_read: is set when the last row was read, so that the next shard may
    begin. opened: from `opened_providers`; None opens them for this shard. limit: only the first rows, this many; the part is not whole
    then.

    Raises BusyError while another process has the shard, UsageError where the input, the part or the journal is not what it was.
    What stops a run is in the result.
    Cancellation: attempts in flight are lost; everything that was answered is kept.
    """
    directory = place.directory
    own = _config_of(config, shard, place, leases)
    course = Course(own, stop, events)
    async with opened_providers(own) if opened is None else nullcontext(opened) as ends:
        with ExitStack() as files:
            files.enter_context(directory.shard_locked(shard.number))
            run = files.enter_context(closing(await trio.to_thread.run_sync(_open, own, shard, place)))
            try:
                summary = await carry(
                    own,
                    course,
                    run,
                    nullcontext(ends.providers),
                    secrets=ends.secrets,
                    leases=leases,
                    limit=limit,
                    give_up=give_up,
                    input_read=input_read,
                )
            except (RunAborted, RunInterrupted) as error:
                return ShardResult(shard.number, error.summary or Summary(), None, str(error), isinstance(error, RunInterrupted))
            if summary.total < shard.rows:
                return ShardResult(shard.number, summary)
            done = _done_of(shard, summary, run.durable.state.bytes)
            await trio.to_thread.run_sync(directory.list_done, done)
            return ShardResult(shard.number, summary, done)


def journal_of(place: Place, number: int) -> Path:
    """The journal of a shard."""
    part = place.directory.part(number)
    return (part.parent if place.scratch is None else place.scratch) / f"{part.name}.journal"


def _config_of(config: Config, shard: Shard, place: Place, leases: Mapping[int, LimitLease]) -> Config:
    """The config of a run over one shard alone."""
    part = place.directory.part(shard.number)
    if leases:
        config = replace(config, limits=replace(config.limits, shared=LEASED))
    return replace(
        config,
        sink=replace(config.sink, path=str(part)),
        journal=replace(config.journal, path=str(journal_of(place, shard.number))),
    )


def _open(config: Config, shard: Shard, place: Place) -> OpenedRun:
    folder, files = place.directory.path, place.plan.files
    see_that_it_is_planned(shard, folder)
    extent = Extent(
        lambda: shard_source(config, shard, files, folder),
        shard.first,
        repeats_in(shard, folder),
        {"shard": f"{shard.number}: rows {shard.first} to {shard.first + shard.rows}"},
    )
    part = Path(config.sink.path)
    # A part without its journal was left by a worker whose disk is gone: its lines count as far as they are whole.
    is_orphan = part.exists() and config.journal.path is not None and not Path(config.journal.path).exists()
    retry = place.directory.retry_wanted(shard.number)
    choices = Choices(accept_changes=is_orphan, retry=None if retry is None else FailureChoice.parse(retry))
    run = open_run(config, extent.open_source(), choices, extent)
    if retry is not None:
        place.directory.want_retry(shard.number, None)
    return run


def _done_of(shard: Shard, summary: Summary, size: int) -> Done:
    return Done(
        shard.number,
        summary.total,
        size,
        summary.digest,
        summary.succeeded,
        summary.failed,
        summary.unknown_outcome,
        summary.prompt_tokens,
        summary.output_tokens,
        summary.cost,
        dict(summary.finish_reasons),
        summary.rejected,
    )

"""Runs one shard: the flow of any run, over a part of the input, into a part of the output, with a journal of its own."""

from __future__ import annotations

import time
from contextlib import ExitStack, asynccontextmanager, closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import frozen
from msgspec.structs import replace

from pipeline.core.answers.secrets import Secrets
from pipeline.core.output.written import FailureChoice
from pipeline.edges.sources.pieces import see_that_it_is_planned
from pipeline.engines.plan import repeats_in, shard_source
from pipeline.engines.rundir import Done, RunDirectory
from pipeline.engines.scratch import own_journal
from pipeline.engines.shipping import Shipment, get_rows, put_retry, shipping, storage_of
from pipeline.engines.spare import SpareSenders
from pipeline.errors import RunAborted, RunInterrupted, UsageError
from pipeline.runs.carrying import carry
from pipeline.runs.course import Course
from pipeline.runs.inputs import Extent
from pipeline.runs.opening import Choices, open_run
from pipeline.runs.providers import credentials, open_providers, secrets_of
from pipeline.summaries import Progress, Summary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from pipeline.config import Config
    from pipeline.config.lanes import BudgetConfig
    from pipeline.core.cluster.plan import Plan, Shard
    from pipeline.ports import LaneKeeper
    from pipeline.runs.opening import OpenedRun
    from pipeline.runs.providers import Providers

T = TypeVar("T", Progress, Summary)


@frozen
class Place:
    """Where a worker finds the run. scratch: a folder on a local disk for the journals; None puts them beside the parts."""

    directory: RunDirectory
    plan: Plan
    scratch: Path | None = None

    @property
    def mirror(self) -> RunDirectory:
        """Where the part is written: the run directory, or a folder of this machine where the workers share none."""
        if self.directory.remote is None or self.scratch is None:
            return self.directory
        return RunDirectory(self.scratch / self.plan.name, self.directory.remote)


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
    """Open the providers of a config for all shards of a worker, one of which has the connections of the one before. Raises ConfigError."""
    shown = await trio.to_thread.run_sync(credentials, config)
    secrets = Secrets(secrets_of(shown))
    async with open_providers(config, shown, hide=secrets.add) as providers:
        with ExitStack() as spare:
            providers.senders = [spare.enter_context(closing(SpareSenders(open_sender))) for open_sender in providers.senders]
            yield Opened(providers, secrets)


async def run_shard(
    config: Config,
    shard: Shard,
    place: Place,
    *,
    leases: Mapping[int, LaneKeeper],
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
    directory = place.mirror
    own = _config_of(config, shard, place)
    course = Course(own, stop, None if events is None else lambda progress: events(_placed(progress, shard)))
    async with opened_providers(own) if opened is None else nullcontext(opened) as ends:
        with ExitStack() as files:
            directory.make()
            files.enter_context(directory.shard_locked(shard.number))
            run, shipment = await trio.to_thread.run_sync(_open, own, shard, place)
            files.enter_context(closing(run))
            try:
                async with shipping(shipment, config.engine.ray.segment_seconds):
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
                summary = _placed(error.summary or Summary(), shard)
                await _ship(shipment)
                return ShardResult(shard.number, summary, None, str(error), isinstance(error, RunInterrupted))
            summary = _placed(summary, shard)
            if summary.total < shard.rows:
                await _ship(shipment)
                return ShardResult(shard.number, summary)
            done = _done_of(shard, summary, run.durable.state.bytes)
            try:
                if shipment is not None:
                    await trio.to_thread.run_sync(shipment.end, done)
                await trio.to_thread.run_sync(directory.list_done, done)
            except OSError as error:
                return ShardResult(shard.number, summary, stopped=f"the run directory cannot be written to: {error.strerror or error}")
            return ShardResult(shard.number, summary, done)


async def _ship(shipment: Shipment | None) -> None:
    """Copy what is there of a part that is not whole. What cannot be copied now is copied by the next worker on this machine."""
    if shipment is not None:
        with suppress(OSError):
            await trio.to_thread.run_sync(shipment.ship)


def budgets_of(config: Config, shard: Shard, rows: int) -> dict[str, Any]:
    """The budgets of a shard: of each, the part that its rows are of all. So all shards together never spend more than the run may."""

    def part(budget: BudgetConfig) -> BudgetConfig:
        tokens, requests = ((None if most is None else _part(most, shard, rows)) for most in (budget.tokens, budget.requests))
        return replace(budget, cost=None if budget.cost is None else budget.cost * shard.rows / rows, tokens=tokens, requests=requests)

    whole: dict[str, Any] = {"budget": part(config.budget)}
    if config.providers:
        lanes = [replace(lane, budget=part(lane.budget)) for lane in config.providers]
        whole |= {"providers": lanes, "provider": None}
    return whole


def _part(amount: int, shard: Shard, rows: int) -> int:
    """A shard's part of an amount that cannot be split further than into ones; all parts add up to it."""
    return amount * (shard.first + shard.rows) // rows - amount * shard.first // rows


def journal_of(place: Place, number: int) -> Path:
    """The journal of a shard."""
    journal = place.mirror.journal(number)
    return journal if place.scratch is None or place.directory.remote is not None else place.scratch / place.plan.name / journal.name


def _config_of(config: Config, shard: Shard, place: Place) -> Config:
    """The config of a run over one shard alone."""
    part = place.mirror.part(shard.number)
    return replace(
        config,
        **budgets_of(config, shard, place.plan.rows),
        sink=replace(config.sink, path=str(part)),
        journal=replace(config.journal, path=str(journal_of(place, shard.number))),
    )


def _open(config: Config, shard: Shard, place: Place) -> tuple[OpenedRun, Shipment | None]:
    """Open the files of a shard; also what copies its part elsewhere, if that is wanted."""
    directory = place.mirror
    store = storage_of(directory, place.plan)
    if store is None:
        return _open_here(config, shard, place, directory), None
    shipment = Shipment(store, shard.number, directory.part(shard.number), journal_of(place, shard.number))
    try:
        get_rows(store, shard, directory)
        shipment.begin()
        run = _open_here(config, shard, place, directory)
        put_retry(store, shard.number, None)
        shipment.look_again()
    except OSError as error:
        raise UsageError(f"{directory.remote}: {error.strerror or error}") from error
    return run, shipment


def _open_here(config: Config, shard: Shard, place: Place, directory: RunDirectory) -> OpenedRun:
    folder, files = directory.path, place.plan.files
    see_that_it_is_planned(shard, folder)
    extent = Extent(
        lambda: shard_source(config, shard, files, folder),
        shard.first,
        repeats_in(shard, folder),
        {"shard": f"{shard.number}: rows {shard.first} to {shard.first + shard.rows}"},
    )
    part, journal = Path(config.sink.path), journal_of(place, shard.number)
    if place.scratch is not None and directory.remote is None:
        own_journal(directory, shard.number, journal)
    # A part without its journal was left by a worker whose disk is gone: its lines count as far as they are whole.
    is_orphan = part.exists() and not journal.exists()
    retry = directory.retry_wanted(shard.number)
    choices = Choices(accept_changes=is_orphan, retry=None if retry is None else FailureChoice.parse(retry))
    run = open_run(config, extent.open_source(), choices, extent)
    if retry is not None:
        directory.want_retry(shard.number, None)
    return run


def _placed(counts: T, shard: Shard) -> T:
    """The same with rows that failed at their places in the whole input."""
    if not shard.first or not counts.failures:
        return counts
    placed = {}
    for code, group in counts.failures.items():
        placed[code] = replace(group, example=replace(group.example, index=shard.first + group.example.index))
    return replace(counts, failures=placed)


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
        time.time(),
        summary.duration_seconds,
        dict(summary.limited_by),
    )

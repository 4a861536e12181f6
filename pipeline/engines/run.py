"""Runs a config by several processes: plans it, lets an engine do the work, and puts the parts together."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
from attrs import field, frozen
from msgspec.structs import replace

from pipeline.core.bookkeeping.fingerprint import differences
from pipeline.core.output.written import FailureChoice
from pipeline.durability.paths import Paths, move_all_aside
from pipeline.edges.store.files import free_name, real
from pipeline.edges.store.marks import SentMarks
from pipeline.edges.store.objects import ObjectStore
from pipeline.engines.collect import collect
from pipeline.engines.figures import lane_summaries
from pipeline.engines.in_turn import has_prices
from pipeline.engines.plan import plan_of, see_that_input_is_planned
from pipeline.engines.refusals import refuse_what_needs_one_process
from pipeline.engines.rundir import VERSION, Manifest, RunDirectory
from pipeline.engines.shipping import get_done, get_parts, get_plan, put_plan, put_retry, storage_of
from pipeline.engines.totals import Totals, totals_of
from pipeline.engines.work import Work
from pipeline.errors import (
    OutputExistsError,
    RunAborted,
    RunChangedError,
    RunInterrupted,
    SinkError,
    UsageError,
)
from pipeline.runs.course import cancel_at
from pipeline.runs.inputs import identity_of
from pipeline.runs.loops import require_trio
from pipeline.stages.gate import INTERRUPTED
from pipeline.summaries import Progress, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.config import Config
    from pipeline.core.cluster.plan import Plan, Shard
    from pipeline.engines.rundir import Done
    from pipeline.engines.work import Ended, Engine

T = TypeVar("T")


async def run_on(
    engine: Engine,
    config: Config,
    *,
    fresh: bool = False,
    limit: int | None = None,
    accept_changes: bool = False,
    retry_failed: bool | str = False,
    stop: trio.Event | None = None,
    give_up: trio.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Run a config with an engine, to the end of its input. Goes on where an earlier run of it has stopped.

    All as `pipeline.run` takes it, except for accept_changes: a run that was planned goes on with what it was planned for.
    With a limit nothing is collected unless that is the whole input.

    Raises as `pipeline.run`.
    Cancellation: attempts in flight are lost; everything that was answered is kept.
    """
    require_trio("run")
    if accept_changes:
        raise UsageError(
            "a run by several workers goes on with what it was planned for; --fresh starts over (what is there is moved aside)"
        )
    refuse_what_needs_one_process(config)
    directed = _Directed(config, trio.Event() if stop is None else stop, trio.Event() if give_up is None else give_up)
    directory = directed.directory
    await directed.in_a_thread(partial(_begin, config, directory, fresh=fresh))
    with directory.locked():
        goes_on = directory.exists
        plan = await directed.plan(fresh=fresh)
        store = storage_of(directory, plan)
        choice = "transient" if retry_failed is True else retry_failed or None
        if choice is not None:
            await directed.in_a_thread(partial(_want_retries, directory, plan, choice, store))
        before = await directed.in_a_thread(partial(_totals, directory, plan, store))
        shards, limits = _to_run(plan, before, limit)
        work = Work(config, directory, plan, shards, limits, before.done, directed.stop, directed.give_up, progress or (lambda _: None))
        ended = await directed.work(engine, work, goes_on=goes_on) if shards else None
        try:
            after = await trio.to_thread.run_sync(_totals, directory, plan, store)
        except UsageError as error:  # the storage is out of reach now
            raise RunAborted(str(error), directed.summary(before, before, ended)) from error
        summary = directed.summary(before, after, ended)
        if choice is not None and ended is not None and ended.stopped is None:  # rows that were sent again were not finished before
            summary = replace(summary, skipped_resumed=min(before.rows, ended.progress.rows_resumed))
        _see_that_it_ended_well(work, after, ended, summary)
        if len(after.done) == len(plan.shards) and config.engine.ray.collect.value == "file":
            try:
                if store is not None:
                    await trio.to_thread.run_sync(get_parts, store, plan, directory)
                made = await trio.to_thread.run_sync(collect, directory, real(config.sink.path))
            except (SinkError, OSError) as error:
                raise RunAborted(str(error), replace(summary, stopped=str(error))) from error
            summary = replace(summary, digest=made.digest)
        return summary


def _see_that_it_ended_well(work: Work, after: Totals, ended: Ended | None, summary: Summary) -> None:
    """Raises RunInterrupted or RunAborted, where a shard that was to be run to its end was not."""
    if ended is not None and ended.interrupted:
        raise RunInterrupted(INTERRUPTED, replace(summary, stopped=INTERRUPTED))
    left = [shard for shard in work.shards if shard.number not in after.done and shard.number not in work.limits]
    reason = None if ended is None else ended.stopped
    if left and reason is None:
        reason = f"{len(left):,} of {len(work.plan.shards):,} shards did not come to their end"
    if reason is not None:
        raise RunAborted(reason, replace(summary, stopped=reason))


@frozen
class _Directed:
    """One call of `run_on`."""

    config: Config
    stop: trio.Event
    give_up: trio.Event
    began: float = field(factory=trio.current_time, init=False)

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory.of(self.config)

    async def plan(self, *, fresh: bool) -> Plan:
        """The plan of the run. A run that cannot be planned leaves nothing behind."""
        try:
            return await self.in_a_thread(partial(_planned, self.config, self.directory, fresh=fresh))
        except (UsageError, RunInterrupted):
            self.directory.withdraw()
            raise

    async def work(self, engine: Engine, work: Work, *, goes_on: bool) -> Ended:
        """Have the work done. An engine that cannot begin leaves no plan behind that was not there before."""
        try:
            return await engine(work)
        except UsageError:
            if not goes_on and work.directory.remote is None:
                self.directory.forget_plan()
            raise

    async def in_a_thread(self, make: Callable[[], T]) -> T:
        """Do what may take long before anything is sent. Raises RunInterrupted when the run is to stop meanwhile."""
        results: list[T] = []
        errors: list[UsageError] = []

        def attempt() -> None:
            try:
                results.append(make())
            except UsageError as error:
                errors.append(error)  # a nursery would wrap it

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_at, self.stop, nursery.cancel_scope)
            await trio.to_thread.run_sync(attempt, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()
        if errors:
            raise errors[0]
        if not results:
            raise RunInterrupted(INTERRUPTED, Summary(stopped=INTERRUPTED))
        return results[0]

    def summary(self, before: Totals, after: Totals, ended: Ended | None) -> Summary:
        """What was done. before, after: what stood in the run directory."""
        seconds = trio.current_time() - self.began
        told = None if ended is None else ended.progress
        attempts = 0 if told is None else told.attempts
        held = {} if told is None else told.limited_by
        return Summary(
            total=after.rows,
            succeeded=after.succeeded,
            failed=after.failed,
            skipped_resumed=before.rows,
            attempts=attempts,
            retries=0 if told is None else told.retries,
            throttled=0 if told is None else told.throttled,
            unknown_outcome=after.unknown,
            duration_seconds=round(seconds, 3),
            requests_per_second=round(attempts / seconds, 3) if seconds > 0 else 0.0,
            prompt_tokens=after.prompt_tokens,
            output_tokens=after.output_tokens,
            cost=after.cost if has_prices(self.config) else None,
            limited_by=_limited_by([done for number, done in after.done.items() if number not in before.done]) or held,
            attained=None if told is None else told.attained,
            lanes=() if ended is None else lane_summaries(ended.progress.lanes, ended.learned),
            finish_reasons=dict(after.finish_reasons),
            rejected=after.rejected,
            failures={} if told is None else told.failures,
            waiting=after.waiting,
        )


def _limited_by(parts: Sequence[Done]) -> dict[str, float]:
    """What held the shards of this run back, each for as long as it took."""
    seconds: Counter[str] = Counter()
    for part in parts:
        for bound, share in part.limited_by.items():
            seconds[bound] += share * part.seconds  # type: ignore[assignment]  # seconds, which a Counter adds as well
    whole = sum(seconds.values())
    return {bound: round(held / whole, 4) for bound, held in sorted(seconds.items())} if whole else {}


# ---- before anything is sent -----------------------------------------------------------------------------------------


def _begin(config: Config, directory: RunDirectory, *, fresh: bool) -> None:
    """See that there is room for a run, or one to go on with."""
    paths = Paths.of(config.sink.path, None)
    if fresh:
        _move_aside(paths, directory)
    if paths.journal.exists():
        told = "it belongs to a run by one process; go on with --engine local, or use --fresh to start over (it is moved aside)"
        raise OutputExistsError(paths.output, told)
    if not directory.exists and os.path.lexists(paths.output):
        raise OutputExistsError(paths.output, "use --fresh to move it aside and start over")
    directory.make()


def _move_aside(paths: Paths, directory: RunDirectory) -> None:
    """Give what is there other names, whoever has made it. Raises UsageError while a run is at it."""
    if directory.exists:
        with directory.locked():
            directory.move_aside()
    if paths.journal.exists():
        with closing(SentMarks.open(paths.marks)) as marks:
            move_all_aside(paths)
            marks.forget()
        paths.marks.unlink(missing_ok=True)
    elif os.path.lexists(paths.output):
        paths.output.rename(free_name(paths.output))


def _planned(config: Config, directory: RunDirectory, *, fresh: bool) -> Plan:
    """The plan of the run that is there, or a new one."""
    identity = identity_of(config)
    store = None if directory.remote is None else ObjectStore.open(directory.remote)
    try:
        if store is not None and not fresh:
            get_plan(store, directory)
        if not directory.exists:
            plan = plan_of(config, directory.path, shard_rows=config.engine.ray.shard_rows)
            directory.plan_run(Manifest(VERSION, identity, plan))
            if store is not None:
                put_plan(store, plan, directory)
            return plan
    except OSError as error:
        raise UsageError(f"{directory.remote or directory.path} cannot be used: {error.strerror or error}") from error
    manifest = directory.manifest()
    changes = differences(manifest.identity, identity)
    if changes:
        told = "\n  ".join(changes)
        raise RunChangedError(f"the config asks for other answers than the run that is being continued:\n  {told}", _ONLY_FRESH)
    see_that_input_is_planned(manifest.plan, config.source.path)
    return manifest.plan


_ONLY_FRESH = " is refused for a run by several workers"


def _want_retries(directory: RunDirectory, plan: Plan, choice: str, store: ObjectStore | None) -> None:
    """Note for every shard that has failures that some of them are to be sent again."""
    try:
        FailureChoice.parse(choice)
    except ValueError as error:
        raise UsageError(f"retry_failed {error}") from None
    if store is not None:
        get_done(store, plan, directory)
    for shard in plan.shards:
        done = directory.done(shard.number)
        if done is None and not directory.journal(shard.number).exists() and not directory.part(shard.number).exists():
            continue  # nothing of it was sent
        if done is None or done.failed:
            if store is None:
                directory.want_retry(shard.number, choice)
            else:
                put_retry(store, shard.number, choice)
            directory.unlist(shard.number)


def _totals(directory: RunDirectory, plan: Plan, store: ObjectStore | None) -> Totals:
    """What there is, in the storage too. Raises UsageError where that cannot be read."""
    try:
        if store is not None:
            get_done(store, plan, directory)
    except OSError as error:
        raise UsageError(f"{directory.remote} cannot be read: {error.strerror or error}") from error
    return totals_of(directory, plan)


def _to_run(plan: Plan, before: Totals, limit: int | None) -> tuple[list[Shard], Mapping[int, int]]:
    """The shards that are to be run, and how many rows of one of them, where that is not all."""
    left = [shard for shard in plan.shards if shard.number not in before.done]
    if limit is None:
        return left, {}
    left = [shard for shard in left if shard.first < limit]
    return left, {shard.number: limit - shard.first for shard in left if shard.first + shard.rows > limit}

"""Carries a run whose files are open from its first request to its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from pipeline.config.lanes import BudgetConfig
from pipeline.errors import CacheError, JournalError, RunAborted, SinkError
from pipeline.runs.assembly import flow_settings
from pipeline.runs.live import LiveConfig, Running
from pipeline.runs.observing import with_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from pipeline.config import Config
    from pipeline.core.answers.secrets import Secrets
    from pipeline.core.pacing.account import Accounts
    from pipeline.core.pacing.findings import Learned
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.core.rows.lines import RawRow
    from pipeline.messages import Change, Spent
    from pipeline.ports import LaneKeeper, LimitLease, Observer
    from pipeline.runs.course import Course
    from pipeline.runs.live import Changed
    from pipeline.runs.opening import OpenedRun
    from pipeline.runs.providers import Providers
    from pipeline.summaries import Summary


async def carry(
    config: Config,
    course: Course,
    files: OpenedRun,
    provider: AbstractAsyncContextManager[Providers],
    *,
    secrets: Secrets,
    leases: Mapping[int, LimitLease | LaneKeeper],
    observers: Sequence[Observer] = (),
    limit: int | None = None,
    live: LiveConfig | None = None,
    give_up: trio.Event | None = None,
    input_read: trio.Event | None = None,
) -> Summary:
    """Run the flow over an open input into an open output, to its end. Closes the output; the caller closes the rest.

    limit, live, give_up: as `pipeline.run` takes them. secrets, leases: as `flow_settings` does. input_read: set when the input has ended.
    Raises what `pipeline.run` raises once it has begun.
    """
    live = live or LiveConfig()
    durable, known = files.durable, files.known
    course.go_on_from(durable.state)
    course.source, course.limit = files.source, limit
    durable.keeping.takes_bodies = files.reuse is None

    async def take_rows(most: int) -> list[RawRow]:
        rows = await trio.to_thread.run_sync(files.source.take, most, abandon_on_cancel=True)
        if not rows:
            known.end()
            if input_read is not None:
                input_read.set()
        return rows

    try:
        async with provider as providers:
            accounts = _opened_accounts(config, durable.state.budgets, trio.current_time())
            settings = flow_settings(
                config,
                take_rows,
                known.making(files.jobs.make_jobs),
                providers.senders,
                durable,
                limit=limit,
                reuse=files.reuse,
                accounts=accounts,
                secrets=secrets,
                observers=with_history(config, durable, observers),
                pricing=course.pricing,
                changes=live.changes,
                leases=leases,
            )
            _go_on(settings.lanes, providers, durable.state.learned)
            course.keep_in(durable, settings.lanes, accounts)
            with live.of(Running(config, settings, providers, course, accounts, durable.figures, _put_in_force)):
                await course.follow(settings, give_up)
        await trio.to_thread.run_sync(durable.finish, course.rows_seen(limit))
        cut_off = await trio.to_thread.run_sync(durable.is_cut_off)
        course.unknown = durable.state.unknown
    except (ExceptionGroup, SinkError, JournalError, CacheError) as error:
        reason = _disk_trouble(error)
        if reason is None:
            raise
        raise RunAborted(reason, course.stopped(reason, durable.digest)) from error
    if known.problem is not None and not course.tallies.gate.attempts:
        raise known.problem
    if files.is_new and course.has_nothing_to_keep():
        await trio.to_thread.run_sync(files.withdraw)
    summary = course.conclude(durable.digest, cut_off=cut_off)
    if course.rows_seen(limit) is not None:
        files.forget_answers()
    try:
        durable.close()
    except (SinkError, JournalError) as error:  # a network disk may report at the end that it has not kept what it took
        raise RunAborted(str(error), course.stopped(str(error), durable.digest)) from error
    return summary


def _go_on(lanes: Lanes, providers: Providers, learned: Mapping[str, Learned]) -> None:
    """Go on with what the flow before has learned of the same providers, if there was one; else with what the journal remembers."""
    if providers.lanes is not None:
        lanes.go_on_from(providers.lanes)
    providers.lanes = lanes
    lanes.recall(learned, trio.current_time())


def _disk_trouble(error: Exception) -> str | None:
    """The error of a disk that cannot be written, if nothing else went wrong."""
    if isinstance(error, ExceptionGroup):
        reasons = [_disk_trouble(inner) for inner in error.exceptions]
        return None if None in reasons else reasons[0]
    return str(error) if isinstance(error, (SinkError, JournalError, CacheError)) else None


async def _put_in_force(running: Running, config: Config, post: trio.MemorySendChannel[Change]) -> Changed:
    from pipeline.runs.changing import put_in_force  # noqa: PLC0415  few runs are changed

    return await put_in_force(running, config, post)


def _opened_accounts(config: Config, spent: Spent, now: float) -> Accounts | None:
    if config.budget == BudgetConfig() and all(lane.budget == BudgetConfig() for lane in config.providers):
        return None
    from pipeline.runs.accounts import accounts_of  # noqa: PLC0415  many runs have no budget

    return accounts_of(config, spent, now)

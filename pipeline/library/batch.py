"""`run_batch`: a list or a frame in, a list of outcomes out, in the same order. For scripts and notebooks."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from pipeline.config import CacheConfig
from pipeline.config.load import given_config
from pipeline.errors import UsageError
from pipeline.library.frames import rows_of
from pipeline.library.outcomes import Outcomes
from pipeline.library.showing import showing
from pipeline.runs.loops import require_no_loop
from pipeline.runs.stream import stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Sequence

    import httpx

    from pipeline.config import Config
    from pipeline.edges.sources.memory import Row
    from pipeline.ports import Observer
    from pipeline.summaries import Progress


def run_batch(
    prompts: Iterable[Row] | AsyncIterable[Row],
    config: Config | str | os.PathLike[str],
    *,
    journal: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[Progress], None] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
) -> Outcomes:
    """Send prompts and wait for all outcomes: a list in, a list out, in the same order. Blocks; needs no event loop.

    prompts: texts and mappings as for `stream`; a column of a pandas or polars frame; or a frame, whose columns are the fields that
    the config's template takes. config: or the path of one. journal: a file that keeps each answer as it comes, so that the same
    call after an interruption sends only what has no answer. progress: True shows it, False does not; None shows it in a notebook.
    Or a function that is called about twice a second with a `Progress`. transport, observers: as for `stream`.

    Raises ConfigError before anything is sent, UsageError inside an event loop (use `pipeline.aio.run_batch` there), RunAborted
    when going on is pointless, and what `prompts` raised, as it is. The `outcomes` of the last two are what came before.
    """
    require_no_loop("run_batch")
    return trio.run(collect, prompts, config, journal, progress, transport, observers)


async def collect(
    prompts: Iterable[Row] | AsyncIterable[Row],
    config: Config | str | os.PathLike[str],
    journal: str | os.PathLike[str] | None,
    progress: bool | Callable[[Progress], None] | None,  # noqa: FBT001  as `run_batch` takes it
    transport: httpx.AsyncBaseTransport | None,
    observers: Sequence[Observer],
) -> Outcomes:
    """What `run_batch` does, where trio runs already."""
    whole, outcomes = with_journal(given_config(config), journal), Outcomes()
    try:
        with showing(progress, whole) as show:
            async with stream(whole, rows_of(prompts), transport=transport, observers=observers, progress=show) as results:
                async for outcome in results:
                    outcomes.append(outcome)
    except Exception as error:
        with suppress(AttributeError):  # the caller's own exception may have no room for it
            error.outcomes = tuple(outcomes)  # type: ignore[attr-defined]  # as RunStopped has it
        raise
    return outcomes


def with_journal(config: Config, journal: str | os.PathLike[str] | None) -> Config:
    """The config with answers kept in a file: an answer in the cache is not bought again, equal rows are told apart by their number.

    Raises: UsageError, where the config has a cache already.
    """
    if journal is None:
        return config
    if config.cache is not None:
        raise UsageError(f"journal: the config keeps its answers in {config.cache.path} already (cache.path); leave one of the two out")
    return replace(config, cache=CacheConfig(path=os.fspath(journal)))

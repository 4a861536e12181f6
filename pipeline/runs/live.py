"""Lets a caller change the config of a run while it goes on: what the caller holds, and what the run puts in it. `changing` does it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from msgspec import Struct, field

from pipeline.messages import Change
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pipeline.config import Config
    from pipeline.core.pacing.account import Accounts
    from pipeline.durability.commits import Figures
    from pipeline.runs.course import Course
    from pipeline.runs.providers import Providers
    from pipeline.stages.flow import FlowSettings


class Changed(Record, frozen=True):
    """What became of another config.

    changes: what is in force from now on. kept: keys that differ and cannot change while a run goes on.
    """

    changes: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class LiveConfig:
    """Lets the config of a run be changed while it goes on: hand it to `run`, and call `replace`. For one run.

    changes: what the gate is to do; read by the run.
    """

    def __init__(self) -> None:
        self._post, self.changes = trio.open_memory_channel[Change](0)
        self._running: Running | None = None
        self._begun = trio.Event()

    async def replace(self, config: Config) -> Changed:
        """Put another config in force, as far as it can be: limits, budgets, prices, routing, and which lanes there are.

        Waits until the run sends rows. Raises ConfigError, and then nothing has changed.
        Cancellation: what was asked for may still be done.
        """
        await self._begun.wait()
        assert self._running is not None
        running = self._running
        async with running.one_by_one:
            return await running.change(running, config, self._post)

    @contextmanager
    def of(self, running: Running) -> Iterator[None]:
        """Take the run that goes on while the block runs; called by it."""
        self._running = running
        self._begun.set()
        try:
            yield
        finally:
            running.ended.set()


class Running(Struct, eq=False):
    """What of a run can be changed. change: puts another config in force; see `changing`. one_by_one: held meanwhile."""

    config: Config
    settings: FlowSettings
    providers: Providers
    course: Course
    accounts: Accounts | None
    figures: Figures
    change: Callable[[Running, Config, trio.MemorySendChannel[Change]], Awaitable[Changed]]
    ended: trio.Event = field(default_factory=trio.Event)
    one_by_one: trio.Lock = field(default_factory=trio.Lock)

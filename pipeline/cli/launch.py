"""Starts the event loop of `run`: signals, the display and the garbage collector around one call of `pipeline.run`.

Imported when the command runs, because trio and everything below `run` take most of a start's time.
"""

from __future__ import annotations

import gc
import os
from functools import partial
from typing import TYPE_CHECKING

import trio

from pipeline.cli.terminal import Screen
from pipeline.edges.process.descriptors import require_descriptors
from pipeline.edges.process.signals import hangup_is_a_request, reload_on_hangup, stop_on_signals
from pipeline.runs.live import LiveConfig
from pipeline.runs.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypedDict

    from pipeline.cli.frame import Talk
    from pipeline.config import Config
    from pipeline.ports import Observer
    from pipeline.summaries import Progress, Summary

    class RunChoices(TypedDict):
        """What the flags of `run` say besides the config; see `pipeline.run`."""

        limit: int | None
        fresh: bool
        accept_changes: bool
        retry_failed: bool | str


COLLECT_AFTER = 50_000  # new objects; some 10 MB of them at the most
PER_WORKER = 40  # objects that a worker and its connection are made of, which stay; 5,000 of them were looked through twice as they began


def launch(
    config: Config,
    terminal: Talk,
    progress: str,
    choices: RunChoices,
    *,
    telling: bool = False,
    read_again: Callable[[], Config] | None = None,
) -> Summary:
    """Run to the end; the first signal lets what is in flight finish, the second cancels it.

    progress: how it is shown. telling: say what happens. read_again: reads the config again where SIGHUP asks for that.
    """
    require_descriptors()  # the event loop itself needs some
    by_workers = config.engine.kind.value == "ray"
    read_again = None if by_workers else read_again  # a worker has no way to be told
    screen = Screen() if progress == "none" else _screen(progress, terminal, config)
    observers: list[Observer] = []
    narrator = None
    if telling:
        from pipeline.cli.narrator import Narrator

        narrator = Narrator(terminal.say)
        observers.append(narrator)
    if screen.is_log and (narrator is None or screen.takes_objects):
        from pipeline.cli.announcer import Announcer

        observers.append(Announcer(terminal))
    spare_the_collector(sum((getattr(lane, "limits", None) or config.limits).max_in_flight for lane in config.lanes))

    async def start(stop: trio.Event, give_up: trio.Event, live: LiveConfig) -> Summary:
        show = _showing(terminal)
        if by_workers:
            from pipeline.engines.choosing import ray_engine
            from pipeline.engines.run import run_on

            show = _telling(terminal, show) if telling else show
            return await run_on(ray_engine(), config, **choices, stop=stop, give_up=give_up, progress=show)
        return await run(config, **choices, stop=stop, give_up=give_up, progress=show, observers=observers, live=live)

    async def main() -> Summary:
        stop, give_up, live = trio.Event(), trio.Event(), LiveConfig()
        reads_again = read_again is not None and hangup_is_a_request()
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(stop_on_signals, stop, give_up.set, terminal.say, hangup_stops=not reads_again))
            if read_again is not None and reads_again:
                await nursery.start(reload_on_hangup, partial(_reload, live, read_again, terminal.say))
            summary = await start(stop, give_up, live)
            nursery.cancel_scope.cancel()
        return summary

    terminal.use(screen)
    try:
        return trio.run(main)
    finally:
        if narrator is not None:
            narrator.close()
        if not screen.takes_objects:
            terminal.use(Screen())  # what is said from here on stands where the live lines were
        if config.answers.expect is not None and config.answers.expect.check is not None:
            gc.unfreeze()  # at the end of the process the collector finds what a check has left open, and what was not written yet


async def _reload(live: LiveConfig, read_again: Callable[[], Config], say: Callable[[str], None]) -> None:
    from pipeline.cli.reloading import reloading

    await reloading(live, read_again, say)()


def _screen(progress: str, terminal: Talk, config: Config) -> Screen[Progress]:
    from pipeline.cli.display import screen_for
    from pipeline.cli.view import Facts

    return screen_for(progress, terminal.output, Facts.of(config), os.environ)


def _showing(terminal: Talk) -> Callable[[Progress], None]:
    """Shows progress, and says it once when nothing works, what the run waits for, and why workers do not come."""
    told = missing = ""

    def show(progress: Progress) -> None:
        nonlocal told, missing
        if progress.waits_for and progress.waits_for != told:
            terminal.say(progress.waits_for)
        told = progress.waits_for
        if progress.workers is not None and progress.workers.missing not in ("", missing):
            missing = progress.workers.missing
            terminal.say(missing)
        terminal.show(progress)

    return show


def _telling(terminal: Talk, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Shows the progress of several workers, and tells what becomes of them."""
    from pipeline.cli.workers import WorkersTold

    workers = WorkersTold(terminal.say)

    def show_both(progress: Progress) -> None:
        workers.show(progress)
        show(progress)

    return show_both


def spare_the_collector(workers: int = 0) -> None:
    """Let the garbage collector look at what a run makes, less often, and no more at what the imports made.

    Nearly everything is freed by its reference count; the default threshold of 700 costs 5 to 10 % of a run's CPU. To collect
    what the imports left would free 1 MB and cost 9 ms. workers: how many there may be.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER + PER_WORKER * workers, 20, 20)

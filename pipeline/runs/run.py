"""`run(config)`: opens the input, the output and the provider, runs the flow between them, and sums up."""

from __future__ import annotations

import threading
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio

from pipeline.config.load import given_config
from pipeline.core.answers.secrets import Secrets
from pipeline.edges.process.descriptors import require_descriptors
from pipeline.edges.process.memory import keep_large_blocks
from pipeline.errors import (
    RunInterrupted,
    UsageError,
)
from pipeline.runs.carrying import carry
from pipeline.runs.course import Course, cancel_at
from pipeline.runs.inputs import source_opener
from pipeline.runs.leasing import leases_of
from pipeline.runs.loops import require_trio
from pipeline.runs.observing import observing
from pipeline.runs.opening import Choices, open_run
from pipeline.runs.providers import credentials, open_providers, secrets_of
from pipeline.stages.gate import INTERRUPTED

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import httpx

    from pipeline.config import Config
    from pipeline.core.output.written import FailureChoice
    from pipeline.ports import Observer
    from pipeline.runs.live import LiveConfig
    from pipeline.summaries import Progress, Summary

T = TypeVar("T")


async def run(
    config: Config | str | os.PathLike[str],
    *,
    fresh: bool = False,
    limit: int | None = None,
    accept_changes: bool = False,
    retry_failed: bool | str = False,
    stop: trio.Event | None = None,
    give_up: trio.Event | None = None,
    progress: Callable[[Progress], None] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
    live: LiveConfig | None = None,
) -> Summary:
    """Run the pipeline to its end: one output line for every input row. Goes on where an earlier run of it has stopped.

    config: or the path of one. fresh: move what an earlier run left aside and start over. limit: only the first rows, this many.
    accept_changes: go on although the input, the config or the output is another: rows whose text has changed are sent again.
    retry_failed: failed rows to send again, "transient" (or True), "all", or codes with commas between, and whatever was never
    sent; their results take the places of the failures. stop: set it to let nothing more leave, finish what is in flight and end.
    give_up: set it too to cut off what is in flight. progress: called about twice a second, and at the end. transport: any of
    httpx's, to carry the requests in place of the configured one; you close it. observers: told what happens, as it happens.
    live: lets the config be changed meanwhile.

    Raises UsageError (ConfigError, InputError, OutputExistsError, RunChangedError) before anything is sent; RunAborted
    when going on is pointless or impossible; RunInterrupted after `stop`. The last two carry the summary of what was
    done, and the run can go on later.
    Cancellation: attempts in flight are lost; everything that was answered is kept.
    """
    require_trio("run")
    config = given_config(config)
    require_descriptors()
    keep_large_blocks()
    choices = Choices(fresh, accept_changes, _choice_of(retry_failed))
    course = Course(config, trio.Event() if stop is None else stop, progress)
    shown = await _in_a_thread(partial(credentials, config), course)
    secrets = Secrets(secrets_of(shown))
    provider = open_providers(config, shown, transport, secrets.add)
    leases = leases_of(config)
    with ExitStack() as opened:
        watching = opened.enter_context(observing(config.metrics, observers))
        source = await _in_a_thread(source_opener(config), course, lambda source: source.close())
        files = opened.enter_context(closing(await trio.to_thread.run_sync(open_run, config, source, choices)))
        return await carry(
            config,
            course,
            files,
            provider,
            secrets=secrets,
            leases=leases,
            observers=watching,
            limit=limit,
            live=live,
            give_up=give_up,
        )


def _choice_of(retry_failed: bool | str) -> FailureChoice | None:  # noqa: FBT001  as `run` takes it
    if not retry_failed and not isinstance(retry_failed, str):
        return None
    from pipeline.core.output.written import FailureChoice  # noqa: PLC0415  most runs retry nothing of an earlier one

    if isinstance(retry_failed, str):
        try:
            return FailureChoice.parse(retry_failed)
        except ValueError as error:
            raise UsageError(f"retry_failed {error}") from None
    return FailureChoice(transient=True)


async def _in_a_thread(make: Callable[[], T], course: Course, close: Callable[[T], object] = lambda _: None) -> T:
    """Make something in a thread, where it may wait for others: an input for its writer, a key for the program that prints it.

    close: what to do with a thing that nobody waits for any more.
    Raises UsageError, as `make` does; RunInterrupted when the course is to stop meanwhile.
    """
    lock, late, given_up = threading.Lock(), [], False

    def attempt() -> T | UsageError:
        try:
            made = make()
        except UsageError as error:
            return error  # a nursery would wrap it
        with lock:
            late.append(made)
            if given_up:
                close(made)
        return made

    made: T | UsageError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cancel_at, course.stop, nursery.cancel_scope)
        made = await trio.to_thread.run_sync(attempt, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()
    if made is None:
        with lock:  # the thread may come to an end much later, or just did
            given_up = True
            for each in late:
                close(each)
        raise RunInterrupted(INTERRUPTED, course.summary())
    if isinstance(made, UsageError):
        raise made
    return made

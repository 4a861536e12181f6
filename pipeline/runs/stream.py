"""The pipeline without files: rows from Python in, outcomes to Python out, in order and with backpressure."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence, Sized
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Self

import trio
from attrs import define, field

from pipeline.config.load import given_config
from pipeline.core.answers.secrets import Secrets
from pipeline.edges.sources.memory import Row, RowsArriving, RowsFromPython
from pipeline.messages import Spent
from pipeline.runs.accounts import accounts_of
from pipeline.runs.assembly import flow_settings, reuse_of
from pipeline.runs.course import Course
from pipeline.runs.inputs import job_maker, looking_at_files
from pipeline.runs.loops import require_trio
from pipeline.runs.providers import credentials, open_providers, secrets_of
from pipeline.stages.pass_through import PassThrough

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    import httpx

    from pipeline.config import Config
    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Observer, Source
    from pipeline.records import Outcome
    from pipeline.runs.providers import Providers
    from pipeline.stages.flow import FlowSettings
    from pipeline.summaries import Progress


def stream(
    config: Config | str | os.PathLike[str],
    rows: Iterable[Row] | AsyncIterable[Row],
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    observers: Sequence[Observer] = (),
    progress: Callable[[Progress], None] | None = None,
) -> OutcomeStream:
    """Send rows by `config`, whose source and sink are not used, and give the outcomes back as they come.

    config: or the path of one. rows: a text is the row `{"prompt": text}`; a mapping is a row of fields, or an OpenAI Batch line.
    They are taken as room becomes free. A plain iterator is asked in the event loop, so one that blocks holds everything up; an
    async iterator may wait. transport: any of httpx's (`httpx.MockTransport` too) to carry the requests in place of the configured
    one. observers: told what happens. progress: called about twice a second, and at the end.

    Use it as `async for outcome in stream(config, rows)`. Leave the loop early inside `async with stream(…) as
    outcomes`, so that the attempts in flight end with the block. It needs trio; `pipeline.aio.stream` is the same for asyncio.

    The keys are read when it is called, so that one that is missing is told at once and not within the loop. An `api_key_command` is run
    then, and the event loop waits for it.

    Raises ConfigError, and TypeError for a single row, at once; out of the loop RunAborted when going on is pointless, and
    what `rows` raised, after the outcomes of the rows before it.
    """
    config = given_config(config)
    source = _source_of(rows)
    shown = credentials(config)
    secrets = Secrets(secrets_of(shown))
    provider = open_providers(config, shown, transport, secrets.add)
    return OutcomeStream(_FlowSide(config, provider, secrets, source, tuple(observers), progress))


def _source_of(rows: Iterable[Row] | AsyncIterable[Row]) -> RowsFromPython | RowsArriving:
    if isinstance(rows, (str, Mapping)):
        raise TypeError(f"rows must be several rows, got one {type(rows).__name__}; put it into a list")
    if isinstance(rows, AsyncIterable):
        return RowsArriving(aiter(rows))
    if not isinstance(rows, Iterable):
        raise TypeError(f"rows must be a list or another iterable of texts and mappings, got {type(rows).__name__}")
    return RowsFromPython(iter(rows), len(rows) if isinstance(rows, Sized) else None)


class OutcomeStream(AsyncIterator["Outcome"]):
    """Outcomes of a flow that runs beside its reader, from the first outcome that is asked for. Made by `stream`.

    The flow has a task of its own and is not in its reader's, because a generator that yields inside a nursery breaks
    the cancel scopes of a caller that leaves it early (PEP 789).
    """

    def __init__(self, flow: _FlowSide) -> None:
        self._flow: _FlowSide | None = flow
        self._receive = flow.receive
        self._scope = flow.scope
        self._trouble = flow.trouble

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop sending, drop what is in flight, and end the iteration."""
        self._scope.cancel()
        self._receive.close()

    def __del__(self) -> None:
        self.close()

    async def __anext__(self) -> Outcome:
        if self._flow is not None:
            require_trio("stream")
            # The task must not hold on to this object: dropping it is how a reader that leaves the loop ends the flow.
            trio.lowlevel.spawn_system_task(self._flow.drive, name="headrace.stream")
            self._flow = None
        try:
            return await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            if self._trouble:
                raise self._trouble.pop() from None
            raise StopAsyncIteration from None


@define(eq=False)
class _FlowSide:
    """The flow's side of a stream. trouble: at most one exception, for the reader to raise."""

    config: Config
    provider: AbstractAsyncContextManager[Providers]
    secrets: Secrets = field(repr=False)
    rows: RowsFromPython | RowsArriving
    source: Source | None = field(default=None, init=False)  # the rows, with their files looked at
    observers: tuple[Observer, ...]
    progress: Callable[[Progress], None] | None = None
    send: trio.MemorySendChannel[Outcome] = field(init=False)
    receive: trio.MemoryReceiveChannel[Outcome] = field(init=False)
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    trouble: list[BaseException] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel["Outcome"](0)

    async def drive(self) -> None:
        with ExitStack() as opened:
            opened.enter_context(self.scope)
            opened.enter_context(self.send)
            jobs = opened.enter_context(closing(job_maker(self.config, count_tokens=False)))
            course = Course(self.config, trio.Event(), self.progress)
            if isinstance(self.rows, RowsFromPython):
                course.source = self.rows
            try:
                self.source = opened.enter_context(closing(looking_at_files(self.config, self.rows)))
                reuse = None
                if self.config.cache is not None or self.config.dedupe:
                    reuse = opened.enter_context(closing(await trio.to_thread.run_sync(reuse_of, self.config, None)))
                async with self.provider as providers:
                    store = PassThrough(self.emit)
                    settings = flow_settings(
                        self.config,
                        self.take_rows,
                        jobs.make_jobs,
                        providers.senders,
                        store,
                        reuse=reuse,
                        secrets=self.secrets,
                        observers=self.observers,
                        pricing=course.pricing,
                        accounts=accounts_of(self.config, Spent(), trio.current_time()),
                    )
                    await self.follow(course, settings)
                course.conclude()
                if self.rows.broken is not None:
                    self.trouble.append(self.rows.broken)
            except Exception as error:  # noqa: BLE001  it is raised where the outcomes are read
                self.trouble.append(error)
            except BaseException as error:
                # Such as a Ctrl-C in one of the flow's tasks: to trio an error in a system task is one of its own.
                interrupt = _interrupt_in(error)
                if interrupt is None:
                    raise
                self.trouble.append(interrupt)

    async def follow(self, course: Course, settings: FlowSettings) -> None:
        async with trio.open_nursery() as nursery:
            if isinstance(self.rows, RowsArriving):
                nursery.start_soon(self.rows.feed)
            await course.follow(settings)
            nursery.cancel_scope.cancel()

    async def take_rows(self, most: int) -> list[RawRow]:
        assert self.source is not None
        if isinstance(self.rows, RowsArriving):
            await self.rows.arrive(most)
        return self.source.take(most)

    async def emit(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            await self.send.send(outcome)


def _interrupt_in(error: BaseException) -> BaseException | None:
    """What would end the program, in the groups that nurseries made of it; None if there is only a cancellation."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _interrupt_in(each)) is not None), None)
    return None if isinstance(error, (Exception, trio.Cancelled)) else error

"""Light tasks: coroutines that run without a task of trio's for as long as they need none.

Theory of operation. A wait in trio costs about 10 µs: a trap, a cancel check, an entry in the batch of the next pass, a switch of contexts.
A worker that has sent a request only waits until its answer is there, and somebody else knows when that is: the one task that looks
after all connections. So the worker is a coroutine that this task resumes itself, as a plain function call.

A light task waits by `await` on one of two kinds of things:

- A place, which is anything with a method `hold`. The coroutine yields the place, and the place keeps the light task until it calls
  `resume`. From then on the light task runs inside that call, until its next wait.
- `InTask(function, …)`: everything that needs trio. A task of trio's awaits the function, and goes on with the coroutine itself, so
  that an error or a cancellation arrives where the coroutine waits. As soon as the coroutine waits at a place again, that task ends.

What follows from it, for the code of a light task:

- It must not await anything of trio's, nor enter a cancel scope, except within `InTask`. `trio.current_time` and everything that does not
  wait (`send_nowait`, `Event.set`) may be used.
- While it runs nobody else does, so it must be short.
- It may be ended at any place where it waits, by GeneratorExit, as a task may be by Cancelled. It must not wait after that.

Whoever resumes a light task learns nothing of its errors: they end the `Crew` that it belongs to, as an error of a child task ends a
nursery. `in_task` awaits the same coroutines in an ordinary task of trio's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import trio
from trio.lowlevel import Abort, current_task, reschedule, wait_task_rescheduled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

T = TypeVar("T")
J = TypeVar("J")
R = TypeVar("R")
J_contra = TypeVar("J_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Resumed(Protocol):
    """What waits at a place."""

    def resume(self, value: Any = None) -> None:
        """Go on with what was waited for. Called once for each `hold`, not from within the waiting coroutine. Raises nothing."""


class Place(Protocol):
    """Where a light task can wait."""

    def hold(self, waiting: Resumed) -> None:
        """Keep what waits here, and call its `resume` when the wait is over; that may be at once."""


class InTask(Generic[T]):
    """Awaits a function in a task of trio's; the result is the function's. Cancellation: as of the function."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., Awaitable[T]], *arguments: object) -> None:
        self._function = function
        self._arguments = arguments

    def __await__(self) -> Generator[Any, Any, T]:
        """Have it done."""
        result: T = yield self
        return result

    async def do(self) -> T:
        """Do it, in this task."""
        return await self._function(*self._arguments)

    def hold(self, waiting: LightTask) -> None:
        """Start a task that does it in the place of a light task."""
        waiting.go_on_in_task(self)


class LightTask:
    """One coroutine of a crew."""

    __slots__ = ("_coroutine", "_crew", "_has_task")

    def __init__(self, coroutine: Coroutine[Any, Any, None], crew: Crew) -> None:
        self._coroutine: Coroutine[Any, Any, None] | None = coroutine
        self._crew = crew
        self._has_task = False  # of trio's, which goes on with the coroutine

    def resume(self, value: Any = None) -> None:
        """Run until the next wait. Does nothing once ended."""
        coroutine = self._coroutine
        if coroutine is None:
            return
        try:
            place = coroutine.send(value)
        except StopIteration:
            self._end()
        except BaseException as error:  # noqa: BLE001  it is raised in the crew's nursery
            self._end()
            self._crew.fail(error)
        else:
            place.hold(self)

    def go_on_in_task(self, wait: InTask[Any]) -> None:
        """Go on in a task of trio's, with something that needs one."""
        self._has_task = True
        self._crew.nursery.start_soon(self._go_on, wait)

    def close(self) -> None:
        """End it where it waits. One that has a task of trio's is ended by the nursery of that task instead."""
        coroutine = self._coroutine
        if coroutine is not None and not self._has_task:
            self._end()
            coroutine.close()

    async def _go_on(self, wait: InTask[Any]) -> None:
        assert self._coroutine is not None
        place: Place | InTask[Any] | _Ended = wait
        try:
            while isinstance(place, InTask):
                place = await _next_place(self._coroutine, place.do)
        except BaseException:
            self._end()
            raise
        if isinstance(place, _Ended):
            self._end()
        else:
            self._has_task = False
            place.hold(self)

    def _end(self) -> None:
        self._coroutine = None
        self._crew.ended(self)


class Crew:
    """The light tasks that somebody has started, as a nursery has tasks. nursery: for what needs a task of trio's."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self._tasks: set[LightTask] = set()
        self._all_ended = trio.Event()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until its first wait, and from there on as a light task."""
        task = LightTask(coroutine, self)
        self._tasks.add(task)
        task.resume()

    async def join(self) -> None:
        """Wait until all have ended; nobody may start another one meanwhile."""
        while self._tasks:
            self._all_ended = trio.Event()
            await self._all_ended.wait()

    def close(self) -> None:
        """End all that wait at places."""
        for task in list(self._tasks):
            task.close()

    def ended(self, task: LightTask) -> None:
        """A light task has ended."""
        self._tasks.discard(task)
        if not self._tasks:
            self._all_ended.set()

    def fail(self, error: BaseException) -> None:
        """A light task has ended with an error: so does the nursery."""
        self.nursery.start_soon(_raise, error)


async def in_task(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a light task's coroutine in this task of trio's. Cancellation: arrives where the coroutine waits."""
    place = await _next_place(coroutine, _at_once)
    while not isinstance(place, _Ended):
        place = await _next_place(coroutine, place.do if isinstance(place, InTask) else _Waiter(place).wait)
    result: T = place.result
    return result


class _Ended:
    """The end of a coroutine."""

    __slots__ = ("result",)

    def __init__(self, result: Any) -> None:
        self.result = result


class _Waiter:
    """A task of trio's that waits at a place."""

    __slots__ = ("_place", "_task", "_value")

    def __init__(self, place: Place) -> None:
        self._place = place
        self._task: trio.lowlevel.Task | None = None
        self._value: Any = None

    async def wait(self) -> Any:
        self._task = current_task()
        self._place.hold(self)

        def leave(_: object) -> Abort:
            self._task = None
            return Abort.SUCCEEDED

        await wait_task_rescheduled(leave)
        return self._value

    def resume(self, value: Any = None) -> None:
        if self._task is not None:
            self._value = value
            reschedule(self._task)
            self._task = None


async def _at_once() -> None:
    pass


async def _next_place(coroutine: Coroutine[Any, Any, Any], wait: Callable[[], Awaitable[Any]]) -> Place | InTask[Any] | _Ended:
    """Await something in the place of a coroutine, and run it until its next wait."""
    try:
        try:
            value = await wait()
        except BaseException as error:  # noqa: BLE001  whatever it is, it is the coroutine's
            place: Place | InTask[Any] = coroutine.throw(error)
        else:
            place = coroutine.send(value)
    except StopIteration as end:
        return _Ended(end.value)
    return place


async def _raise(error: BaseException) -> None:
    raise error


class Sends(Protocol[J_contra, R_co]):
    """What makes attempts (`ports.Sender`)."""

    async def send(self, job: J_contra, client_request_id: str) -> R_co:
        """One attempt."""


def ask_before(sender: object, departure: object) -> None:
    """Have a sender ask this before its attempts leave, if it can (`ports.AskingSender`)."""
    ask: Callable[[object], None] | None = getattr(sender, "ask_before", None)
    if ask is not None:
        ask(departure)


def attempts_of(sender: Sends[J, R]) -> Callable[[J, str], Awaitable[R]]:
    """How a light task makes attempts with a sender: by its own `attempt`, or with a task for each."""
    attempt: Callable[[J, str], Awaitable[R]] | None = getattr(sender, "attempt", None)
    return partial(InTask, sender.send) if attempt is None else attempt

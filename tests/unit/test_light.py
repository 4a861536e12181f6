"""Light tasks: they run inside the calls that resume them, in a task where they need one, and their ends are those of tasks."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from pipeline.light import Crew, InTask, in_task

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.light import Resumed


class Stop:
    """A place that resumes when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Resumed] = []

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)

    def hold(self, waiting: Resumed) -> None:
        self.waiting.append(waiting)

    def let_go(self, value: object = None) -> None:
        self.waiting.pop(0).resume(value)


async def twice(value: int) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * value


async def broken() -> None:
    await trio.lowlevel.checkpoint()
    raise LookupError


async def test_light_task_runs_within_the_calls_that_start_and_resume_it(nursery: trio.Nursery) -> None:
    stop, seen, crew = Stop(), [], Crew(nursery)

    async def work() -> None:
        seen.append("began")
        seen.append(await stop)

    crew.start(work())
    before = list(seen)
    stop.let_go("went on")

    assert (before, seen) == (["began"], ["began", "went on"])
    await crew.join()


async def test_what_needs_a_task_gets_one_and_its_result_or_error_arrives_where_it_was_asked_for(nursery: trio.Nursery) -> None:
    seen: list[object] = []
    crew = Crew(nursery)

    async def work() -> None:
        seen.append(await InTask(twice, 4))
        try:
            await InTask(broken)
        except LookupError:
            seen.append("broken")
        seen.append(await InTask(twice, 5))

    crew.start(work())
    await crew.join()

    assert seen == [8, "broken", 10]


@pytest.mark.parametrize("needs_task", [True, False])
async def test_error_of_a_light_task_ends_the_nursery_of_its_crew_and_not_who_resumed_it(*, needs_task: bool) -> None:
    stop = Stop()

    async def work() -> None:
        await stop
        if needs_task:
            await InTask(broken)
        raise LookupError

    with pytest.RaisesGroup(LookupError):
        async with trio.open_nursery() as nursery:
            crew = Crew(nursery)
            crew.start(work())
            stop.let_go()
            await trio.sleep_forever()


@pytest.mark.parametrize("where", ["at a place", "in a task", "in a task after a place"])
async def test_light_task_that_is_cut_off_cleans_up_once_and_never_goes_on(where: str) -> None:
    stop, ends = Stop(), []

    async def work() -> None:
        try:
            if where != "in a task":
                await stop
            await InTask(trio.sleep_forever)
        except BaseException as error:
            ends.append(type(error))
            raise
        finally:
            ends.append("cleaned up")  # type: ignore[arg-type]  # a mark among the types

    async with trio.open_nursery() as nursery:
        crew = Crew(nursery)
        with closing(crew):
            crew.start(work())
            held = list(stop.waiting)
            if where == "in a task after a place":
                stop.let_go()
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            await trio.sleep_forever()
    for waiting in held:
        waiting.resume()

    assert ends == [GeneratorExit if where == "at a place" else trio.Cancelled, "cleaned up"]


async def test_join_waits_for_all_wherever_they_are(autojump_clock: object, nursery: trio.Nursery) -> None:
    stop, crew = Stop(), Crew(nursery)

    async def sleeper(seconds: float) -> None:
        await InTask(trio.sleep, seconds)
        await stop

    for seconds in (1, 3):
        crew.start(sleeper(seconds))
    start = trio.current_time()

    async def let_go_later() -> None:
        await trio.sleep(2)
        stop.let_go()
        await trio.sleep(3)
        stop.let_go()

    nursery.start_soon(let_go_later)
    await crew.join()

    assert trio.current_time() - start == 5


steps = st.lists(st.sampled_from(["place", "task", "error", "pause"]), max_size=8)


async def journey(steps: list[str], stop: Stop, seen: list[object]) -> int:
    """Waits of every kind, one after the other."""
    for number, step in enumerate(steps):
        if step == "place":
            seen.append(await stop)
        elif step == "task":
            seen.append(await InTask(twice, number))
        elif step == "pause":
            await InTask(trio.lowlevel.checkpoint)
        else:
            with pytest.raises(LookupError):
                await InTask(broken)
            seen.append("error")
    return len(steps)


@given(steps, st.none() | st.integers(0, 12))
def test_coroutine_sees_the_same_in_a_task_of_its_own_and_without_one(steps: list[str], cut_after: int | None) -> None:
    """cut_after: waits of the place after which the whole is cancelled."""

    def seen_by(*, light: bool) -> tuple[list[object], list[int]]:
        seen: list[object] = []
        results: list[int] = []
        stop = Stop()

        async def whole() -> None:
            results.append(await journey(steps, stop, seen))

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                crew = Crew(nursery)
                with closing(crew):
                    if light:
                        crew.start(whole())
                    else:
                        nursery.start_soon(in_task, whole())
                    for count in range(steps.count("place")):
                        await wait_all_tasks_blocked()
                        if count == cut_after:
                            nursery.cancel_scope.cancel()
                            await trio.lowlevel.checkpoint()
                        stop.let_go(count)
                    await crew.join()

        trio.run(main)
        return seen, results

    assert seen_by(light=True) == seen_by(light=False)

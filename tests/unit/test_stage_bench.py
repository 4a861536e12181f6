"""Where workers wait: each ticket goes to one worker, who waited longest first, and nobody waits for ever."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from pipeline.messages import Ticket
from pipeline.records import Job
from pipeline.stages.bench import Bench


def ticket(number: int) -> Ticket:
    return Ticket(Job(number, f"row-{number}", "POST", "/x", b"{}", 1, number + 1), 1, None)


class Workers:
    """Workers that wait once each, and what each of them got."""

    def __init__(self, bench: Bench, nursery: trio.Nursery) -> None:
        self._bench = bench
        self._nursery = nursery
        self.got: dict[int, int | None] = {}

    async def sit(self, number: int) -> trio.CancelScope:
        scope = trio.CancelScope()
        self._nursery.start_soon(self._wait, number, scope)
        await wait_all_tasks_blocked()
        return scope

    async def _wait(self, number: int, scope: trio.CancelScope) -> None:
        with scope:
            given = await self._bench.wait()
            self.got[number] = None if given is None else given.job.index


async def test_tickets_go_to_those_who_wait_the_longest_first(nursery: trio.Nursery) -> None:
    bench = Bench()
    workers = Workers(bench, nursery)
    for number in range(3):
        await workers.sit(number)

    taken = [bench.give(ticket(number)) for number in (7, 8, 9, 10)]
    await wait_all_tasks_blocked()

    assert taken == [True, True, True, False]
    assert workers.got == {0: 7, 1: 8, 2: 9}


async def test_worker_that_was_cancelled_is_passed_over(nursery: trio.Nursery) -> None:
    bench = Bench()
    workers = Workers(bench, nursery)
    leaver = await workers.sit(0)
    await workers.sit(1)

    leaver.cancel()
    await wait_all_tasks_blocked()
    taken = [bench.give(ticket(7)), bench.give(ticket(8))]
    await wait_all_tasks_blocked()

    assert taken == [True, False]
    assert workers.got == {1: 7}


async def test_ticket_once_given_is_got_though_bench_and_worker_end_in_the_same_moment(nursery: trio.Nursery) -> None:
    bench = Bench()
    workers = Workers(bench, nursery)
    scope = await workers.sit(0)

    bench.give(ticket(7))
    bench.close()
    scope.cancel()
    await wait_all_tasks_blocked()

    assert workers.got == {0: 7}


async def test_closed_bench_sends_everybody_home_then_and_later(nursery: trio.Nursery) -> None:
    bench = Bench()
    workers = Workers(bench, nursery)
    await workers.sit(0)
    await workers.sit(1)

    bench.close()
    await workers.sit(2)

    assert workers.got == {0: None, 1: None, 2: None}
    assert not bench.give(ticket(7))

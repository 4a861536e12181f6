"""Deadlines on virtual time: each ends what waits, none ends anything else, and nobody looks more often than needed."""

from __future__ import annotations

import math
import socket
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, cast

import pytest
import trio
from attrs import define, field

from pipeline.edges.http.connection import Connection
from pipeline.edges.http.endpoint import Caps
from pipeline.edges.http.readiness import MOST_AT_ONCE
from pipeline.edges.http.watch import TICK_SECONDS, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio.testing import MockClock

SOON = 2 * TICK_SECONDS


@define(eq=False)
class FakeConnection:
    """What the watch sees of a connection."""

    sock: socket.socket
    heard_at: float = math.inf
    ends_at: float = math.inf
    ended: list[tuple[float, str]] = field(factory=list)
    closed: bool = False
    on_close: object = None
    is_woken: bool = False
    stalls_at: float = math.inf
    unhurried: int = 0

    def fileno(self) -> int:
        return self.sock.fileno()

    def expire(self, reason: str) -> None:
        self.ended.append((trio.current_time(), reason))
        self.heard_at = self.ends_at = self.stalls_at = math.inf

    def close(self) -> None:
        self.closed = True


class Watched(Protocol):
    def __call__(self, watch: Watch, heard_at: float = math.inf, ends_at: float = math.inf) -> FakeConnection: ...


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Puts fakes under a watch, and closes their sockets after the test."""
    with ExitStack() as sockets:

        def put(watch: Watch, heard_at: float = math.inf, ends_at: float = math.inf) -> FakeConnection:
            connection = FakeConnection(sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)), heard_at, ends_at)
            watch.add(cast("Connection", connection))
            return connection

        yield put


async def test_watch_ends_each_attempt_at_the_first_of_its_deadlines(
    autojump_clock: MockClock, nursery: trio.Nursery, watched: Watched
) -> None:
    watch = Watch(idle=10)
    nursery.start_soon(watch.run)
    await trio.testing.wait_all_tasks_blocked()
    start = trio.current_time()

    silent = watched(watch, heard_at=start, ends_at=start + 30)
    dripping = watched(watch, heard_at=start + 25, ends_at=start + 30)
    resting = watched(watch)
    watch.remind(start + 10)
    await trio.sleep(100)

    [(silent_at, silent_why)] = silent.ended
    [(dripping_at, dripping_why)] = dripping.ended
    assert start + 10 <= silent_at <= start + 10 + SOON
    assert start + 30 <= dripping_at <= start + 30 + SOON
    assert (silent_why, dripping_why) == ("idle", "total")
    assert resting.ended == []


async def test_watch_keeps_a_deadline_nearer_than_those_it_knows_when_reminded(
    autojump_clock: MockClock, nursery: trio.Nursery, watched: Watched
) -> None:
    watch = Watch(idle=10)
    nursery.start_soon(watch.run)
    await trio.testing.wait_all_tasks_blocked()
    start = trio.current_time()

    watched(watch, heard_at=start, ends_at=start + 10)
    watch.remind(start + 10)
    late = watched(watch, heard_at=start, ends_at=start + 1)
    watch.remind(start + 1)
    await trio.sleep(5)

    assert len(late.ended) == 1
    assert late.ended[0][0] <= start + 1 + SOON


async def test_watch_leaves_alone_what_it_was_told_to_forget(autojump_clock: MockClock, nursery: trio.Nursery, watched: Watched) -> None:
    watch = Watch(idle=1)
    nursery.start_soon(watch.run)
    start = trio.current_time()

    forgotten = watched(watch, heard_at=start, ends_at=start + 1)
    watch.remind(start + 1)
    watch.discard(cast("Connection", forgotten))
    await trio.sleep(5)

    assert forgotten.ended == []


async def test_watch_closes_what_it_looks_after_and_ends(nursery: trio.Nursery, watched: Watched) -> None:
    watch = Watch()
    connection = watched(watch)

    watch.close()
    await watch.run()

    assert connection.closed


async def test_watch_sleeps_while_attempts_come_and_go(autojump_clock: MockClock, nursery: trio.Nursery, watched: Watched) -> None:
    watch = Watch(idle=60)
    looks = 0
    look = watch._look

    def counted(now: float) -> float:
        nonlocal looks
        looks += 1
        return look(now)

    watch._look = counted  # type: ignore[method-assign]
    nursery.start_soon(watch.run)
    connections = [watched(watch) for _ in range(20)]

    for _ in range(600):
        for connection in connections:
            connection.heard_at, connection.ends_at = trio.current_time(), trio.current_time() + 300
            watch.remind(trio.current_time() + 60)
        await trio.sleep(1)

    assert looks <= 15  # once in 59 s
    assert not any(connection.ended for connection in connections)


async def test_watch_ends_a_stream_that_says_nothing_although_bytes_come(
    autojump_clock: MockClock, nursery: trio.Nursery, watched: Watched
) -> None:
    watch = Watch(idle=10)
    nursery.start_soon(watch.run)
    start = trio.current_time()

    pinged = watched(watch, heard_at=start + 20, ends_at=start + 300)
    pinged.stalls_at = start + 15
    watch.remind(pinged.stalls_at)
    await trio.sleep(20)

    [(at, reason)] = pinged.ended
    assert reason == "stall"
    assert start + 15 <= at <= start + 15 + SOON
    watch.close()


async def test_deadline_of_one_connection_may_close_it_and_others(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """A light task goes on in the very call that ends its wait."""
    watch = Watch(idle=10)
    nursery.start_soon(watch.run)
    start = trio.current_time()
    ended: list[str] = []

    class Drops:
        def __init__(self, connection: Connection) -> None:
            self.connection = connection

        def resume(self, value: object = None) -> None:
            ended.append(self.connection.expired)
            self.connection.close()

    with ExitStack() as far_ends:
        for _ in range(3):
            near, far = socket.socketpair()
            far_ends.enter_context(far)
            connection = Connection(near, Caps())
            connection.ends_at = start + 1
            watch.add(connection)
            assert watch.wakes(connection)
            connection.hold(Drops(connection))
        watch.remind(start + 1)
        await trio.sleep(5)

    assert ended == ["total"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no epoll")
async def test_answers_that_come_together_leave_room_for_others_between_them(nursery: trio.Nursery) -> None:
    watch = Watch()
    nursery.start_soon(watch.run)
    await trio.testing.wait_all_tasks_blocked()
    passes = 0
    answered: Counter[int] = Counter()

    class Counts:
        def resume(self, value: object = None) -> None:
            answered[passes] += 1

    with ExitStack() as far_ends:
        for _ in range(3 * MOST_AT_ONCE):
            near, far = socket.socketpair()
            far_ends.enter_context(far)
            connection = Connection(near, Caps())
            watch.add(connection)
            assert watch.wakes(connection)
            connection.hold(Counts())
            far.send(b"x")
        while answered.total() < 3 * MOST_AT_ONCE:
            passes += 1
            await trio.lowlevel.checkpoint()
        watch.close()

    # Between two steps of this task there may be two of the other: trio runs those of one pass in any order.
    assert max(answered.values()) <= 2 * MOST_AT_ONCE

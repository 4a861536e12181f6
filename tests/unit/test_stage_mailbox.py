"""The channel of reports and outcomes: it keeps trio's promises, and gives all that is there at once."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from pipeline.stages.groups import take, take_nowait
from pipeline.stages.mailbox import Inbox, Mailbox, Post


@pytest.fixture
def ends() -> tuple[Post[int], Inbox[int]]:
    return Mailbox[int](3).ends()


async def test_a_reader_gets_all_messages_in_order_of_arrival(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    got: list[list[int]] = []

    async def read() -> None:
        while True:
            got.append(await take(inbox))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        post.send_nowait(1)
        post.send_nowait(2)
        await trio.testing.wait_all_tasks_blocked()
        post.send_nowait(3)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert got == [[1, 2], [3]]


async def test_one_by_one_and_all_at_once_see_the_same_messages(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    for number in (1, 2, 3):
        await post.send(number)

    assert await inbox.receive() == 1
    assert inbox.receive_nowait() == 2
    assert take_nowait(inbox) == [3]
    assert take_nowait(inbox) == []
    with pytest.raises(trio.WouldBlock):
        inbox.receive_nowait()


async def test_it_ends_when_every_writer_has_closed_and_all_was_read(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    with post.clone() as other, post:
        other.send_nowait(1)
    post.close()

    assert await inbox.take() == [1]
    with pytest.raises(trio.EndOfChannel):
        await inbox.take()
    with pytest.raises(trio.EndOfChannel):
        inbox.receive_nowait()
    with pytest.raises(trio.ClosedResourceError):
        post.send_nowait(2)
    with pytest.raises(trio.ClosedResourceError):
        post.clone()


async def test_a_reader_that_waits_is_told_of_the_end(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends

    async def read() -> None:
        with pytest.raises(trio.EndOfChannel):
            await take(inbox)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        post.close()


async def test_a_writer_is_told_that_nobody_reads_any_more(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    with inbox:
        post.send_nowait(1)

    with pytest.raises(trio.BrokenResourceError):
        post.send_nowait(2)
    with pytest.raises(trio.ClosedResourceError):
        await inbox.take()


async def test_it_holds_no_more_than_it_has_room_for(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    for number in range(3):
        post.send_nowait(number)

    with pytest.raises(trio.WouldBlock):
        post.send_nowait(3)
    assert await inbox.take() == [0, 1, 2]
    post.send_nowait(4)


async def test_a_cancelled_reader_loses_nothing_and_can_read_again(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    with trio.CancelScope() as scope:
        scope.cancel()
        await inbox.take()
    post.send_nowait(1)
    with trio.CancelScope() as again:
        again.cancel()
        await inbox.take()

    assert scope.cancelled_caught
    assert again.cancelled_caught
    assert await inbox.take() == [1]


async def test_a_reader_that_was_woken_and_cancelled_at_once_still_gets_its_message(ends: tuple[Post[int], Inbox[int]]) -> None:
    post, inbox = ends
    got: list[int] = []

    async def read() -> None:
        got.extend(await inbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        post.send_nowait(1)
        nursery.cancel_scope.cancel()

    assert got + take_nowait(inbox) == [1]

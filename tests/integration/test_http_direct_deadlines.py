"""DirectSender against real sockets on a virtual clock: every attempt ends by a deadline, whatever the server does."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from pipeline.edges.http.endpoint import Timeouts
from pipeline.records import Answer, FailureKind, Fault, FaultCause
from tests.fakes.senders import JOB, job_of, reply_of, sender_to
from tests.fakes.servers import WHOLE, Peer, Request, answering, listen, serve

pytestmark = pytest.mark.usefixtures("any_readiness")

HEAD = b"HTTP/1.1 200 OK\r\n"
SETTLED_SECONDS = 0.02  # real: while loopback still carries bytes, nobody is idle for so long


@pytest.fixture
def clock() -> MockClock:
    """Time passes when nobody has anything to do; pytest-trio takes any fixture that is a clock."""
    return MockClock(autojump_threshold=SETTLED_SECONDS)


async def test_silent_server_ends_by_the_idle_deadline(clock: MockClock) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await trio.sleep_forever()

    fault = await reply_of(script, timeouts=Timeouts(idle=60, total=300))

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == (FailureKind.TIMEOUT, FaultCause.IDLE_TIMEOUT, True)
    assert "60 s (idle deadline)" in fault.message
    assert 60 <= clock.current_time() < 62


async def test_server_that_stalls_in_the_body_ends_by_the_idle_deadline(clock: MockClock) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(HEAD + b"Content-Length: 20\r\n\r\nhi")
        await trio.sleep_forever()

    fault = await reply_of(script, timeouts=Timeouts(idle=60, total=300))

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == (FailureKind.TIMEOUT, FaultCause.IDLE_TIMEOUT, True)
    assert 60 <= clock.current_time() < 62


async def test_dripping_server_does_not_outlive_the_total_deadline(clock: MockClock) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(HEAD + b"Content-Length: 100000\r\n\r\n")
        while True:
            await peer.send(b"x")
            await trio.sleep(50)

    fault = await reply_of(script, timeouts=Timeouts(idle=60, total=300))

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == (FailureKind.TIMEOUT, FaultCause.TOTAL_TIMEOUT, True)
    assert "300 s (total deadline)" in fault.message
    assert 300 <= clock.current_time() < 302


async def ignore(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


async def test_server_that_reads_nothing_ends_by_a_deadline_and_has_not_the_whole_request(clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, ignore)
        async with sender_to(f"http://127.0.0.1:{port}", timeouts=Timeouts(idle=60, total=300)) as sender:
            fault = await sender.send(job_of(bytes(30_000_000)), "i")
        nursery.cancel_scope.cancel()

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent, fault.sent_at) == (FailureKind.TIMEOUT, False, None)


async def test_server_that_reads_slowly_is_not_idle(clock: MockClock) -> None:
    async def handle(stream: trio.SocketStream) -> None:
        left = len(big.body)
        while left > 0:
            for _ in range(3):  # as much as lets the sender go on
                left -= len(await stream.receive_some(1_000_000))
                if left <= 0:
                    break
            await trio.sleep(10)
        await stream.send_all(WHOLE)

    big = job_of(bytes(16_000_000))
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, handle)
        async with sender_to(f"http://127.0.0.1:{port}", timeouts=Timeouts(idle=60, total=5000)) as sender:
            answer = await sender.send(big, "i")
        nursery.cancel_scope.cancel()

    assert isinstance(answer, Answer)
    assert clock.current_time() > 60


@pytest.mark.parametrize("name", ["connect", "total"])
async def test_connection_that_is_never_accepted_ends_by_the_nearer_deadline(name: str, clock: MockClock) -> None:
    timeouts = Timeouts(connect=30) if name == "connect" else Timeouts(connect=60, total=30)
    with trio.socket.socket() as full:
        await full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        fillers = [trio.socket.socket() for _ in range(4)]
        async with trio.open_nursery() as nursery:
            for filler in fillers:
                nursery.start_soon(filler.connect, address)
            await trio.testing.wait_all_tasks_blocked(0.05)
            async with sender_to(f"http://127.0.0.1:{address[1]}", timeouts=timeouts) as sender:
                fault = await sender.send(JOB, "i")
            nursery.cancel_scope.cancel()
        for filler in fillers:
            filler.close()

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.cause, fault.maybe_sent) == (FailureKind.TIMEOUT, FaultCause.CONNECT_TIMEOUT, False)
    assert f"30 s ({name} deadline)" in fault.message


async def test_sender_works_on_after_a_timeout_with_another_connection(clock: MockClock) -> None:
    async def script(peer: Peer, request: Request) -> None:
        if peer.number == 0:
            await trio.sleep_forever()
        await peer.send(WHOLE)

    async with serve(script) as server, sender_to(server.url, timeouts=Timeouts(idle=60)) as sender:
        fault = await sender.send(JOB, "i")
        answer = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert isinstance(answer, Answer)
    assert server.accepted == 2


async def test_time_at_rest_is_nobody_s_idle_time(clock: MockClock) -> None:
    async with serve(answering(WHOLE)) as server, sender_to(server.url, timeouts=Timeouts(idle=60, total=60)) as sender:
        first = await sender.send(JOB, "i")
        await trio.sleep(3600)
        second = await sender.send(JOB, "i")

    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert server.accepted == 1

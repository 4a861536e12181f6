"""Redirects on the same origin, over both transports and real sockets."""

from __future__ import annotations

import pytest
import trio

from pipeline.edges.http import open_senders
from pipeline.edges.http.endpoint import Endpoint, Timeouts
from pipeline.edges.http.redirects import MAX_HOPS
from pipeline.records import Answer, Fault, FaultCause, Transport
from tests.fakes.senders import BODY, JOB, PATIENT
from tests.fakes.servers import OK_BODY, WHOLE, Peer, Request, serve

BOTH = pytest.mark.parametrize("transport", Transport)
KEY = ("authorization", "Bearer k")


def moved(status: int, location: str) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@BOTH
@pytest.mark.parametrize("status", [307, 308])
async def test_slash_behind_is_followed_with_the_same_request_and_learned(transport: Transport, status: int) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(WHOLE if request.target.endswith("/") else moved(status, request.target + "/"))

    async with serve(script) as server:
        async with open_senders(Endpoint(server.url, KEY, timeouts=PATIENT), transport=transport) as open_sender:
            senders = [open_sender() for _ in range(2)]
            answers = [await sender.send(JOB, "i") for sender in senders for _ in range(2)]
            for sender in senders:
                sender.close()

    assert [answer.body for answer in answers if isinstance(answer, Answer)] == [OK_BODY] * 4
    assert [request.target.endswith("/") for request in server.requests] == [False, True, True, True, True]
    assert {(request.method, request.body, request.headers["authorization"]) for request in server.requests} == {("POST", BODY, "Bearer k")}


@BOTH
async def test_late_answer_is_fetched_from_the_address_that_is_told(transport: Transport) -> None:
    async def script(peer: Peer, request: Request) -> None:
        place = {"/v1/chat/completions": "/result?id=1", "/result?id=1": "/result?id=2"}.get(request.target)
        await peer.send(WHOLE if place is None else moved(303, place))

    async with serve(script) as server:
        async with open_senders(Endpoint(server.url, KEY, timeouts=PATIENT), transport=transport) as open_sender:
            sender = open_sender()
            answer = await sender.send(JOB, "i")
            sender.close()

    assert isinstance(answer, Answer)
    assert answer.body == OK_BODY
    assert [(request.method, request.target) for request in server.requests] == [
        ("POST", "/v1/chat/completions"),
        ("GET", "/result?id=1"),
        ("GET", "/result?id=2"),
    ]


@BOTH
async def test_redirects_without_end_end(transport: Transport) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(moved(307, f"/v1/{len(server.requests)}"))

    async with serve(script) as server:
        async with open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
            sender = open_sender()
            answer = await sender.send(JOB, "i")
            sender.close()

    assert isinstance(answer, Answer)
    assert answer.status == 307
    assert len(server.requests) == MAX_HOPS + 1


@BOTH
async def test_total_deadline_holds_over_all_redirects(transport: Transport, autojump_clock: trio.testing.MockClock) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await trio.sleep(20)
        await peer.send(moved(303, f"/result/{len(server.requests)}"))

    async with serve(script) as server:
        endpoint = Endpoint(server.url, timeouts=Timeouts(connect=30, idle=60, total=70))
        async with open_senders(endpoint, transport=transport) as open_sender:
            sender = open_sender()
            fault = await sender.send(JOB, "i")
            sender.close()

    assert isinstance(fault, Fault)
    assert fault.cause is FaultCause.TOTAL_TIMEOUT
    assert len(server.requests) == 4

"""All answers that are being received, or were and are not yet done with, share one bound, whatever the transport."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.edges.http import open_senders, senders
from pipeline.edges.http.endpoint import Endpoint, Timeouts
from pipeline.edges.http.memory import AnswerMemory
from pipeline.edges.http.pairing import LEAST_REST_SECONDS, Trust
from pipeline.records import Answer, Fault, Transport
from tests.fakes.senders import JOB, PATIENT
from tests.fakes.servers import Peer, Request, answering, answering_and_closing, serve

if TYPE_CHECKING:
    from pipeline.ports import Sender

BODY = b'"' + b"a" * 500_000 + b'"'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
PACKED_BODY = gzip.compress(BODY)
PACKED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(PACKED_BODY), PACKED_BODY)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> AnswerMemory:
    shared = AnswerMemory(limit=700_000)  # the second body is over it before its last piece, which has 256 kB at most
    monkeypatch.setattr(senders, "AnswerMemory", lambda: shared)
    return shared


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("answer", [PLAIN, PACKED], ids=["plain", "packed"])
async def test_answer_counts_until_its_worker_is_done_with_it(transport: Transport, answer: bytes, memory: AnswerMemory) -> None:
    async with serve(answering(answer)) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
        sender = open_sender()
        for done in (sender.release, sender.close):
            reply = await sender.send(JOB, "i")

            assert isinstance(reply, Answer)
            assert reply.body == BODY
            assert memory.used == len(BODY)
            done()
            done()
            assert memory.used == 0


@pytest.mark.parametrize("transport", Transport)
async def test_next_answer_takes_the_place_of_the_last_one(transport: Transport, memory: AnswerMemory) -> None:
    async with serve(answering(PLAIN)) as server, open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
        sender = open_sender()
        for _ in range(3):
            await sender.send(JOB, "i")
        assert memory.used == len(BODY)
        sender.close()


@pytest.mark.parametrize("transport", Transport)
async def test_answer_that_breaks_off_counts_no_more(transport: Transport, memory: AnswerMemory) -> None:
    async with serve(answering_and_closing(PLAIN[:-10])) as server:
        async with open_senders(Endpoint(server.url, timeouts=PATIENT), transport=transport) as open_sender:
            sender = open_sender()
            assert isinstance(await sender.send(JOB, "i"), Fault)
            assert memory.used == 0
            sender.close()


@pytest.mark.parametrize("transport", Transport)
async def test_neither_deadlines_nor_the_measure_of_answers_run_while_one_waits_for_room(
    transport: Transport, memory: AnswerMemory, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(PLAIN)

    async def ask(sender: Sender) -> None:
        replies.append(await sender.send(JOB, "i"))

    trust = Trust()
    monkeypatch.setattr(senders, "Trust", lambda _: trust)
    replies: list[Answer | Fault] = []
    timeouts = Timeouts(connect=30, idle=60, total=100)
    async with serve(script) as server, open_senders(Endpoint(server.url, timeouts=timeouts), transport=transport) as open_sender:
        first, second = open_sender(), open_sender()
        await ask(first)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, second)
            await trio.sleep(1000)
            assert len(replies) == 1
            first.release()
        first.close()
        second.close()

    assert [isinstance(reply, Answer) for reply in replies] == [True, True]
    assert trust.rest_seconds == LEAST_REST_SECONDS

"""HTTP/2 where the server offers it: multiplexed by nobody, so that one request's trouble is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from h2.errors import ErrorCodes

from pipeline.edges.http import open_senders
from pipeline.edges.http.endpoint import Endpoint, Timeouts, TlsOptions
from pipeline.records import Answer, FailureKind, Fault, Job
from tests.fakes.http2 import OK_HEADERS, answer_plainly, serve_http2
from tests.fakes.runs import run_file
from tests.fakes.servers import OK_BODY, WHOLE, Authority, answering, serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from h2.connection import H2Connection

JOB = Job(0, "row-0", "POST", "/v1/chat/completions", b'{"model": "m"}', 1, 1)
PATIENT = Timeouts(connect=10, idle=10, total=20)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(str(tmp_path / "ca.pem"))


def endpoint(authority: Authority, port: int, timeouts: Timeouts = PATIENT) -> Endpoint:
    return Endpoint(f"https://localhost:{port}/v1", ("authorization", "Bearer k"), timeouts=timeouts, tls=TlsOptions(authority.path))


async def test_requests_and_answers_pass_over_http2(authority: Authority) -> None:
    async with serve_http2(authority.server_context("localhost")) as server:
        async with open_senders(endpoint(authority, server.port), http2=True) as open_sender:
            sender = open_sender()
            answers = [await sender.send(JOB, f"i-{number}") for number in range(3)]

    assert [answer.body for answer in answers if isinstance(answer, Answer)] == [OK_BODY] * 3
    assert server.accepted == 1
    assert server.bodies == [JOB.body] * 3
    assert server.headers[2][":path"] == "/v1/chat/completions"
    assert (server.headers[2]["authorization"], server.headers[2]["x-client-request-id"]) == ("Bearer k", "i-2")


async def test_server_without_http2_is_spoken_to_in_http1(authority: Authority) -> None:
    async with serve(answering(WHOLE), tls=authority.server_context("localhost")) as server:
        async with open_senders(endpoint(authority, server.port), http2=True) as open_sender:
            senders = [open_sender() for _ in range(3)]
            answers = [await sender.send(JOB, "i") for sender in senders for _ in range(2)]

    assert all(isinstance(answer, Answer) for answer in answers)
    assert (server.accepted, len(server.requests)) == (3, 6)


async def test_two_hundred_attempts_are_in_flight_at_once(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"url": "/v1/chat/completions", "body": {}}\n' * 200)

    async with serve_http2(authority.server_context("localhost"), waiting_for=200) as server:
        provider = {"http2": True, "tls": {"ca": "ca.pem"}}
        run = await run_file(
            tmp_path, f"https://localhost:{server.port}/v1", provider=provider, limits={"learn": False, "max_in_flight": 200}
        )

    assert (run.summary.succeeded, run.summary.attempts) == (200, 200)
    assert len(server.begun) == 200


async def test_attempt_that_is_too_late_takes_its_connection_and_no_other_with_it(authority: Authority) -> None:
    """A stream that is given up is not reset by httpcore; a closed connection tells the server all the same."""
    replies: dict[str, Answer | Fault] = {}

    def answer(connection: H2Connection, stream_id: int) -> None:
        if len(server.begun) > 1:
            answer_plainly(connection, stream_id)

    async with serve_http2(authority.server_context("localhost"), answer=answer) as server:
        hasty = endpoint(authority, server.port, Timeouts(connect=5, idle=0.2, total=10))
        async with open_senders(hasty, http2=True) as open_sender:
            sender, other = open_sender(), open_sender()
            replies["late"] = await sender.send(JOB, "i")
            replies["other"] = await other.send(JOB, "i")
            replies["again"] = await sender.send(JOB, "i")

    assert isinstance(replies["late"], Fault)
    assert (replies["late"].kind, replies["late"].maybe_sent) == (FailureKind.TIMEOUT, True)
    assert isinstance(replies["other"], Answer)
    assert isinstance(replies["again"], Answer)
    assert server.begun == [0, 1, 2]


async def test_cancelled_attempt_closes_its_connection(authority: Authority) -> None:
    async with serve_http2(authority.server_context("localhost"), waiting_for=2) as server:
        async with open_senders(endpoint(authority, server.port), http2=True) as open_sender:
            sender = open_sender()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send, JOB, "i")
                while not server.bodies:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            answer = await sender.send(JOB, "i")

    assert isinstance(answer, Answer)
    assert server.begun == [0, 1]


def _goes_away(connection: H2Connection, stream_id: int) -> None:
    connection.close_connection(last_stream_id=stream_id)


def _resets(connection: H2Connection, stream_id: int) -> None:
    connection.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)


def _answers_nonsense(connection: H2Connection, stream_id: int) -> None:
    connection.send_headers(stream_id, [(":status", "two hundred")], end_stream=True)


def _breaks_its_word(connection: H2Connection, stream_id: int) -> None:
    connection.send_headers(stream_id, [*OK_HEADERS, ("content-length", "5")])
    connection.send_data(stream_id, b"12", end_stream=True)


def _sends_a_frame_that_cannot_be(connection: H2Connection, stream_id: int) -> None:
    connection.send_headers(stream_id, OK_HEADERS)
    connection._data_to_send += b"\0\0\1\0\0\0\0\0\0x"  # DATA on stream 0


@pytest.mark.parametrize("break_it", [_goes_away, _resets, _answers_nonsense, _breaks_its_word, _sends_a_frame_that_cannot_be])
async def test_broken_protocol_is_a_fault_and_ends_nothing_else(
    authority: Authority, break_it: Callable[[H2Connection, int], None]
) -> None:
    def answer(connection: H2Connection, stream_id: int) -> None:
        (break_it if len(server.begun) == 1 else answer_plainly)(connection, stream_id)

    async with serve_http2(authority.server_context("localhost"), answer=answer) as server:
        async with open_senders(endpoint(authority, server.port), http2=True) as open_sender:
            sender = open_sender()
            fault = await sender.send(JOB, "i")
            after = await sender.send(JOB, "i")

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.maybe_sent) == (FailureKind.MALFORMED_RESPONSE, True)
    assert isinstance(after, Answer)
    assert server.accepted == 2

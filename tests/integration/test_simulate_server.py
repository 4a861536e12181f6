"""The simulated provider over real sockets: what a client meets there."""

from __future__ import annotations

import gzip
import socket
from contextlib import AsyncExitStack

import httpx
import pytest
import trio
import trio.testing

from pipeline.errors import UsageError
from pipeline.simulate import (
    QUIRKS,
    Fault,
    LatencyConfig,
    SimulateConfig,
    SimulatedLimits,
    expected_answer,
    serve,
)
from tests.fakes.simulated import simulated
from tests.fakes.simulated_client import PATIENCE_SECONDS, ask, chat, client, content, faulty, request_for, until


async def test_answers_and_lists_models() -> None:
    async with simulated(SimulateConfig()) as at, client(at) as http:
        answered = await ask(http, "What is 6 times 7?")
        listed = await http.get("/models")

    assert answered.status_code == 200
    assert content(answered) == expected_answer(chat("What is 6 times 7?"))
    assert listed.json()["data"][0]["id"] == "gpt-4o"
    assert at.provider.statistics().connections == 1


async def test_two_runs_give_the_same_bytes_and_request_ids() -> None:
    runs = []
    for rows in (range(20), reversed(range(20))):
        got: dict[int, tuple[bytes, str]] = {}
        async with simulated(SimulateConfig()) as at, client(at) as http:
            for row in rows:
                response = await ask(http, f"row {row}")
                got[row] = response.content, response.headers["x-request-id"]
        runs.append(got)

    assert runs[0] == runs[1]
    assert len(set(runs[0].values())) == 20


async def test_large_bodies_go_both_ways() -> None:
    text = "é\u2028" * 200_000

    async with simulated(SimulateConfig(answer_characters=400_000)) as at, client(at) as http:
        response = await ask(http, text)

    assert content(response) == expected_answer(chat(text), 400_000)


async def test_too_large_body_is_refused() -> None:
    async with simulated(SimulateConfig(max_body_bytes=1000)) as at, client(at) as http:
        response = await ask(http, "x" * 1000)

    assert response.status_code == 413


async def test_statistics_can_be_asked_for_over_http() -> None:
    async with simulated(SimulateConfig()) as at, client(at) as http:
        await ask(http, "x")
        seen = (await http.get(f"http://127.0.0.1:{at.port}/_simulate/statistics")).json()
        requests = (await http.get(f"http://127.0.0.1:{at.port}/_simulate/requests")).json()["requests"]

    assert seen["requests"] == 1
    assert seen["answers"] == {"200": 1}
    assert requests[0]["target"] == "/v1/chat/completions"


async def test_client_that_waits_for_100_continue_gets_it() -> None:
    async with simulated(SimulateConfig()) as at:
        stream = await trio.open_tcp_stream("127.0.0.1", at.port)
        async with stream:
            await stream.send_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n")
            first = await stream.receive_some()
            await stream.send_all(b"{}")
            second = await stream.receive_some()

    assert first.startswith(b"HTTP/1.1 100 ")
    assert second.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000])
async def test_what_is_not_http_is_refused_and_the_connection_closed(nonsense: bytes) -> None:
    async with simulated(SimulateConfig()) as at:
        stream = await trio.open_tcp_stream("127.0.0.1", at.port)
        async with stream:
            await stream.send_all(nonsense)
            answered = b""
            with trio.fail_after(PATIENCE_SECONDS):
                try:
                    async for piece in stream:
                        answered += piece
                except trio.BrokenResourceError:  # closed on us while we still spoke
                    pass

    assert answered.startswith((b"HTTP/1.1 4", b""))
    assert at.provider.statistics().requests == 0


NOT_PLAIN_JSON = {Fault.STREAM_NO_DONE, Fault.SSE_UNASKED, Fault.COMMENTS_BEFORE, Fault.DONE_BEHIND}


@pytest.mark.parametrize("quirk", sorted(QUIRKS - NOT_PLAIN_JSON, key=str), ids=lambda quirk: quirk.value)
async def test_quirk_is_a_right_answer(quirk: Fault) -> None:
    async with simulated(faulty(quirk)) as at, client(at) as http:
        response = await ask(http, "hello")

    assert response.status_code == 200
    assert content(response) == expected_answer(chat("hello"))
    assert at.provider.statistics().faults == {quirk.value: 1}


@pytest.mark.parametrize(
    "fault, status",
    [
        (Fault.HTTP_400, 400),
        (Fault.FORBIDDEN_403, 403),
        (Fault.HTTP_408, 408),
        (Fault.HTTP_409, 409),
        (Fault.HTTP_425, 425),
        (Fault.HTTP_429, 429),
        (Fault.HTTP_500, 500),
        (Fault.HTTP_502, 502),
        (Fault.HTTP_503, 503),
        (Fault.HTTP_504, 504),
        (Fault.HTTP_529, 529),
        (Fault.PLAIN_500, 500),
        (Fault.RATE_LIMIT_500, 500),
        (Fault.INSUFFICIENT_QUOTA, 429),
        (Fault.UNAUTHORIZED_401, 401),
        (Fault.STRING_ERROR_401, 401),
        (Fault.REDIRECT_307, 307),
        (Fault.FORBIDDEN_RETRY, 500),
        (Fault.DEMANDED_RETRY, 400),
    ],
)
async def test_status_fault_is_answered_and_the_connection_lives_on(fault: Fault, status: int) -> None:
    async with simulated(faulty(fault)) as at, client(at) as http:
        first, second = await ask(http, "hello"), await ask(http, "hello")

    assert first.status_code == status
    assert content(second) == expected_answer(chat("hello"))
    assert at.provider.statistics().connections == 1


@pytest.mark.parametrize("fault", [Fault.BROKEN_JSON, Fault.BAD_UTF8, Fault.EMPTY_200, Fault.HTML])
async def test_200_without_json_is_no_result(fault: Fault) -> None:
    async with simulated(faulty(fault)) as at, client(at) as http:
        response = await ask(http, "hello")

    assert response.status_code == 200
    with pytest.raises(ValueError):
        response.json()


async def test_body_can_be_no_gzip_though_it_says_so() -> None:
    async with (
        simulated(faulty(Fault.BAD_GZIP)) as at,
        client(at) as http,
        http.stream("POST", "/chat/completions", json=chat("hello")) as response,
    ):
        raw = b"".join([piece async for piece in response.aiter_raw()])

    assert response.headers["content-encoding"] == "gzip"
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(raw)


async def test_200_can_carry_an_error() -> None:
    async with simulated(faulty(Fault.ERROR_200)) as at, client(at) as http:
        response = await ask(http, "hello")

    assert response.status_code == 200
    assert response.json()["error"]["code"] == "upstream_error"


@pytest.mark.parametrize(
    "fault, error",
    [
        (Fault.CUT_BODY, httpx.RemoteProtocolError),
        (Fault.CUT_CHUNKED, httpx.RemoteProtocolError),
        (Fault.CLOSE_BEFORE, httpx.RemoteProtocolError),
        (Fault.GARBAGE, httpx.RemoteProtocolError),
        (Fault.HUGE_HEADER, httpx.RemoteProtocolError),
        (Fault.TWO_LENGTHS, httpx.RemoteProtocolError),
        (Fault.RESET_BEFORE, httpx.ReadError),
        (Fault.RESET_IN_BODY, httpx.ReadError),
    ],
)
async def test_broken_answer_is_an_error_at_the_client_and_a_retry_helps(fault: Fault, error: type[Exception]) -> None:
    async with simulated(faulty(fault)) as at, client(at) as http:
        with pytest.raises(error):
            await ask(http, "hello")
        second = await ask(http, "hello")

    assert content(second) == expected_answer(chat("hello"))


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.STALL_IN_BODY, Fault.DRIP, Fault.DRIP_HEADERS, Fault.ENDLESS])
async def test_answer_without_end_lasts_until_the_client_goes(fault: Fault) -> None:
    async with simulated(faulty(fault)) as at, client(at) as http:
        with trio.move_on_after(0.1) as scope:
            await ask(http, "hello")
        await until(lambda: at.provider.statistics().concurrent == 0)

    assert scope.cancelled_caught
    assert at.provider.statistics().abandoned == 1


async def test_drip_sends_a_byte_now_and_then() -> None:
    async with simulated(faulty(Fault.DRIP)) as at, await trio.open_tcp_stream("127.0.0.1", at.port) as stream:
        await stream.send_all(request_for("hello"))
        got = b""
        with trio.fail_after(PATIENCE_SECONDS):
            while len(got.partition(b"\r\n\r\n")[2]) < 5:
                got += await stream.receive_some()

    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.partition(b"\r\n\r\n")[2].strip() == b""


async def test_client_that_goes_away_frees_its_place_at_once() -> None:
    config = SimulateConfig(latency=LatencyConfig(median_seconds=3600.0, max_seconds=3600.0))

    async with simulated(config) as at, client(at) as http:
        async with trio.open_nursery() as nursery:
            for row in range(10):
                nursery.start_soon(ask, http, f"row {row}")
            await until(lambda: at.provider.statistics().concurrent == 10)
            nursery.cancel_scope.cancel()
        await until(lambda: at.provider.statistics().concurrent == 0)

    assert at.provider.statistics().abandoned == 10
    assert at.provider.statistics().max_concurrent == 10


async def test_pipelined_request_waits_its_turn() -> None:
    config = SimulateConfig(latency=LatencyConfig(median_seconds=0.02))
    async with simulated(config) as at, await trio.open_tcp_stream("127.0.0.1", at.port) as stream:
        await stream.send_all(request_for("hello"))
        await until(lambda: at.provider.statistics().concurrent == 1)
        await stream.send_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        got = b""
        with trio.fail_after(PATIENCE_SECONDS):
            while got.count(b"HTTP/1.1 200") < 2 or not got.endswith(b"]}"):
                got += await stream.receive_some()

    assert got.index(b"chat.completion") < got.index(b'"object":"list"')


async def test_limits_are_kept_and_told() -> None:
    limits = SimulatedLimits(requests_per_minute=5, tokens_per_minute=1000)

    async with simulated(SimulateConfig(limits=limits)) as at, client(at) as http:
        responses = [await ask(http, f"row {row}") for row in range(8)]

    assert [response.status_code for response in responses] == [200] * 5 + [429] * 3
    assert [response.headers["x-ratelimit-remaining-requests"] for response in responses[:5]] == ["4", "3", "2", "1", "0"]
    assert responses[0].headers["x-ratelimit-remaining-tokens"] == "998"
    assert 0 < float(responses[5].headers["retry-after"]) <= 60
    assert at.provider.statistics().refused == 3


async def test_concurrent_requests_are_never_counted_above_those_that_were_sent() -> None:
    config = SimulateConfig(latency=LatencyConfig(median_seconds=0.02))

    async def worker(http: httpx.AsyncClient, number: int) -> None:
        for row in range(5):
            await ask(http, f"row {number}/{row}")

    async with simulated(config) as at, client(at) as http, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(worker, http, number)

        await until(lambda: at.provider.statistics().answers == {200: 100})

    seen = at.provider.statistics()
    assert 1 <= seen.max_concurrent <= 20
    assert seen.concurrent == 0


async def test_key_is_asked_for() -> None:
    async with simulated(SimulateConfig(api_key="sk-right")) as at, client(at) as http:
        refused = await ask(http, "x")
        http.headers["authorization"] = "Bearer sk-right"
        answered = await ask(http, "x")

    assert (refused.status_code, answered.status_code) == (401, 200)
    assert refused.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::", ""])
async def test_host_that_others_could_reach_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="loopback only"):
        await serve(SimulateConfig(), host=host)


async def test_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {port}"):
            await serve(SimulateConfig(), port=port)


async def test_cancelled_server_drops_its_connections_and_leaves_no_task() -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    config = SimulateConfig(script={"1": "stall", "2": "drip", "3": "3600s"})

    async with AsyncExitStack() as stack:
        async with simulated(config) as at:
            streams = [await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", at.port)) for _ in range(3)]
            for row, stream in enumerate(streams, start=1):
                await stream.send_all(request_for(f"row {row}"))
            await until(lambda: at.provider.statistics().concurrent == 3)

        with trio.fail_after(PATIENCE_SECONDS):
            ends = [b"".join([piece async for piece in stream]) for stream in streams]

    assert ends[0] == ends[2] == b""
    assert trio.lowlevel.current_statistics().tasks_living == before

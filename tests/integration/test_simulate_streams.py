"""Streams of the simulated provider over real sockets: event by event, and how they break."""

from __future__ import annotations

import httpx
import pytest
import trio
import trio.testing

from pipeline.simulate import (
    Fault,
    LatencyConfig,
    SimulateConfig,
    SimulatedStream,
    expected_answer,
)
from tests.fakes.simulated import simulated
from tests.fakes.simulated_client import chat, client, faulty, until
from tests.fakes.stream_reading import read_stream

STREAMED = {**chat("hello"), "stream": True}


@pytest.mark.parametrize("per_token_seconds", [0.0, 0.001])
async def test_stream_comes_event_by_event_and_the_connection_lives_on(per_token_seconds: float) -> None:
    config = SimulateConfig(latency=LatencyConfig(per_token_seconds=per_token_seconds), stream=SimulatedStream(event_characters=4))

    async with simulated(config) as at, client(at) as http:
        bodies = [(await http.post("/chat/completions", json=STREAMED)).content for _ in range(2)]

    assert bodies[0] == bodies[1]
    assert read_stream("chat/completions", bodies[0]).texts == {0: expected_answer(chat("hello"))}
    assert at.provider.statistics().connections == 1
    assert at.provider.statistics().concurrent == 0


@pytest.mark.parametrize("fault", [Fault.STREAM_STALL, Fault.STREAM_PING_ONLY])
async def test_stream_that_says_nothing_more_lasts_until_the_client_goes(fault: Fault) -> None:
    async with simulated(faulty(fault)) as at, client(at) as http:
        got = b""
        async with http.stream("POST", "/chat/completions", json=STREAMED) as response:
            with trio.move_on_after(0.2) as scope:
                async for piece in response.aiter_raw():
                    got += piece
        await until(lambda: at.provider.statistics().concurrent == 0)

    assert scope.cancelled_caught
    assert (b"keep-alive" in got) == (fault is Fault.STREAM_PING_ONLY)
    assert at.provider.statistics().abandoned == 1


@pytest.mark.parametrize("fault", [Fault.CUT_BODY, Fault.CUT_CHUNKED, Fault.RESET_IN_BODY])
async def test_connection_can_break_in_a_stream(fault: Fault) -> None:
    async with simulated(faulty(fault)) as at, client(at) as http:
        with pytest.raises(httpx.TransportError):
            await http.post("/chat/completions", json=STREAMED)


async def test_stream_that_is_cut_ends_like_a_whole_one_on_the_wire() -> None:
    async with simulated(faulty(Fault.STREAM_CUT)) as at, client(at) as http:
        response = await http.post("/chat/completions", json=STREAMED)

    assert response.status_code == 200
    assert read_stream("chat/completions", response.content).ended == {}

"""Outages of the simulated provider over real sockets: connections that are refused, ports, paths that moved."""

from __future__ import annotations

import httpx
import pytest
import trio
import trio.testing

from pipeline.errors import UsageError
from pipeline.simulate import (
    SimulateConfig,
    SimulatedOutage,
    expected_answer,
    serve,
)
from tests.fakes.simulated import simulated
from tests.fakes.simulated_client import PATIENCE_SECONDS, ask, chat, client, content


async def status_or_error(http: httpx.AsyncClient) -> int | type[httpx.TransportError]:
    try:
        return (await ask(http, "hello")).status_code
    except httpx.TransportError as error:
        return type(error)


async def test_connections_are_refused_for_a_time_and_then_taken_again_at_the_same_port() -> None:
    outages = tuple(SimulatedOutage(fault="connection_refused", at_seconds=0.4 * number, seconds=0.2) for number in range(50))
    met: list[int | type[httpx.TransportError]] = []

    async with simulated(SimulateConfig(outages=outages)) as at, client(at) as http:
        with trio.fail_after(PATIENCE_SECONDS):
            while httpx.ConnectError not in met or met[-1] != 200:
                met.append(await status_or_error(http))
                await trio.sleep(0.01)

    assert {200, httpx.ConnectError} <= {*met}


async def test_connections_are_refused_from_the_start() -> None:
    outages = (SimulatedOutage(fault="connection_refused"),)

    async with simulated(SimulateConfig(outages=outages)) as at, client(at) as http:
        with pytest.raises(httpx.ConnectError):
            await ask(http, "hello")


async def test_port_that_is_taken_is_refused() -> None:
    async with simulated(SimulateConfig()) as at:
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1 port {at.port}"):
            await serve(SimulateConfig(), port=at.port)


@pytest.mark.parametrize("fault", ["moved_307", "moved_308"])
async def test_client_that_follows_a_moved_path_is_answered(fault: str) -> None:
    async with simulated(SimulateConfig(outages=(SimulatedOutage(fault=fault),))) as at, client(at) as http:
        http.follow_redirects = True
        response = await ask(http, "hello")

    assert content(response) == expected_answer(chat("hello"))

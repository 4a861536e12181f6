"""Whole runs over what a config or its caller chose to carry them: TLS, a Unix socket, any httpx transport."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

import pipeline
from tests.fakes.runs import read_lines, run_file, write_config
from tests.fakes.servers import WHOLE, Authority, Peer, answering, serve

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 5


def listing(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text('{"url": "/v1/chat/completions", "body": {"model": "m"}}\n' * ROWS)
    return tmp_path


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_run_trusts_the_ca_and_shows_the_certificate_of_its_config(folder: Path, transport: str) -> None:
    authority = Authority(str(folder / "ca.pem"))
    authority.client_certificate(str(folder / "client.pem"))
    provider = {"transport": transport, "tls": {"ca": "ca.pem", "certificate": "client.pem", "key": "client.pem"}}

    async with serve(answering(WHOLE), tls=authority.server_context("localhost", ask_for_client=True)) as server:
        run = await run_file(folder, f"https://localhost:{server.port}/v1", provider=provider)

    assert (run.summary.succeeded, len(server.requests)) == (ROWS, ROWS)


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_run_reaches_a_server_on_a_unix_socket(folder: Path, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # bound by a short name: a test's folder may be longer than a socket's address
    hosts: list[str] = []

    async def handle(stream: trio.SocketStream) -> None:
        peer = Peer(stream, 0)
        while (request := await peer.request()) is not None:
            hosts.append(request.headers["host"])
            await peer.send(WHOLE)

    listening = trio.socket.socket(socket.AF_UNIX)
    await listening.bind("s")
    listening.listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, handle, [trio.SocketListener(listening)]))
        run = await run_file(folder, "http://local.test/v1", provider={"transport": transport, "unix_socket": "s"})
        nursery.cancel_scope.cancel()

    assert run.summary.succeeded == ROWS
    assert hosts == ["local.test"] * ROWS


async def test_run_goes_over_any_httpx_transport(folder: Path) -> None:
    urls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        urls.append(str(request.url))
        return httpx.Response(200, json={"choices": [{"text": "hi"}]})

    config = pipeline.load_config(write_config(folder, "https://provider.test/v1", provider={"http2": True}))
    summary = await pipeline.run(config, transport=httpx.MockTransport(answer))

    assert summary.succeeded == ROWS
    assert urls == ["https://provider.test/v1/chat/completions"] * ROWS
    assert len(read_lines(folder / "out.jsonl")) == ROWS


@pytest.mark.parametrize(
    "provider, problem",
    [
        ({"tls": {"ca": "in.jsonl"}}, r"provider\.tls: a file cannot be used"),
    ],
)
async def test_what_cannot_be_sent_is_a_problem_of_the_config(folder: Path, provider: dict[str, object], problem: str) -> None:
    config = pipeline.load_config(write_config(folder, "https://localhost:1/v1", provider=provider))
    before = listing(folder)

    with pytest.raises(pipeline.ConfigError, match=problem):
        await pipeline.run(config)
    with pytest.raises(pipeline.ConfigError, match=problem):
        pipeline.stream(config, ["one"])

    assert listing(folder) == before


async def test_proxy_variable_that_cannot_be_used_stops_the_run_before_it_begins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://user:hunter2@127.0.0.1:1")
    config = pipeline.load_config(write_config(folder, "http://api.example.com/v1"))
    before = listing(folder)

    with pytest.raises(pipeline.ConfigError, match=r"environment: HTTP_PROXY: .*got 'ftp://'") as caught:
        await pipeline.run(config)

    assert listing(folder) == before
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "provider", [{"headers": {"X-Client-Request-Id": "1"}}, {"api_key_env": "A", "api_key_header": "x-client-request-id"}]
)
def test_a_header_that_headrace_sets_itself_is_a_problem_with_its_line(folder: Path, provider: dict[str, object]) -> None:
    with pytest.raises(pipeline.ConfigError, match=r"config\.yaml:1: provider\..*: is set by headrace, differently for each attempt"):
        pipeline.load_config(write_config(folder, "https://localhost:1/v1", provider=provider))


async def test_http2_without_its_package_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.runs.providers.find_spec", lambda name: None)
    config = pipeline.load_config(write_config(folder, "https://localhost:1/v1", provider={"http2": True}))

    with pytest.raises(pipeline.ConfigError, match=r"pip install 'headrace\[http2\]'"):
        await pipeline.run(config)

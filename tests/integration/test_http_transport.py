"""HeadraceTransport under httpx.AsyncClient: connections, streams and redirects as httpx's users know them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from pipeline.edges.http.client.transport import HeadraceTransport
from tests.fakes.servers import OK_BODY, WHOLE, Peer, Request, answering, answering_and_closing, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.usefixtures("any_readiness")

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def client(**options: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=HeadraceTransport(**options), timeout=5)  # type: ignore[arg-type]


async def test_client_gets_and_posts_over_one_connection() -> None:
    async with serve(answering(WHOLE)) as server, client() as http:
        got = await http.get(f"{server.url}/a?b=c", headers={"X-A": "1"})
        posted = await http.post(f"{server.url}/d", json={"e": 1})
        after = await http.request("DELETE", f"{server.url}/f")

    assert got.json() == posted.json() == after.json() == {"choices": [{"text": "ok"}]}
    assert (got.http_version, got.reason_phrase, got.headers["content-type"]) == ("HTTP/1.1", "OK", "application/json")
    assert got.elapsed.total_seconds() > 0
    assert [(request.method, request.target, request.body) for request in server.requests] == [
        ("GET", "/a?b=c", b""),
        ("POST", "/d", b'{"e":1}'),
        ("DELETE", "/f", b""),
    ]
    assert server.requests[0].headers["x-a"] == "1"
    assert server.accepted == 1


async def test_idle_connections_are_as_many_as_were_needed_at_once() -> None:
    async with serve(answering(WHOLE)) as server, client() as http:
        for _ in range(4):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(http.get, server.url)

    assert server.accepted == 5
    assert len(server.requests) == 20


async def test_origins_do_not_share_connections() -> None:
    async with serve(answering(WHOLE)) as one, serve(answering(WHOLE)) as other, client() as http:
        for _ in range(2):
            await http.get(one.url)
            await http.get(other.url)

    assert (one.accepted, other.accepted) == (1, 1)


async def test_client_decodes_what_the_transport_leaves_alone() -> None:
    packed = gzip.compress(OK_BODY)
    script = answering(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)

    async with serve(script) as server, client() as http:
        response = await http.get(server.url)
        async with http.stream("GET", server.url) as streamed:
            raw = b"".join([piece async for piece in streamed.aiter_raw()])

    assert response.json() == {"choices": [{"text": "ok"}]}
    assert raw == packed


async def test_body_streams_as_it_comes() -> None:
    go_on = trio.Event()

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(CHUNKED + b"3\r\none\r\n")
        await go_on.wait()
        await peer.send(b"3\r\ntwo\r\n", b"0\r\n\r\n")

    async with serve(script) as server, client() as http:
        pieces = []
        async with http.stream("GET", server.url) as response:
            async for piece in response.aiter_raw():
                pieces.append(piece)
                go_on.set()
        again = await http.get(server.url)

    assert pieces == [b"one", b"two"]
    assert again.content == b"onetwo"
    assert server.accepted == 1


async def test_body_without_length_streams_to_the_end() -> None:
    async with serve(answering_and_closing(HEAD + b"\r\nab", b"cd")) as server, client() as http:
        responses = [await http.get(server.url) for _ in range(2)]

    assert [response.content for response in responses] == [b"abcd", b"abcd"]
    assert server.accepted == 2


async def test_response_left_unread_costs_its_connection_only() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(CHUNKED + b"3\r\none\r\n")
        if request.target == "/whole":
            await peer.send(b"0\r\n\r\n")

    async with serve(script) as server, client() as http:
        async with http.stream("GET", f"{server.url}/part"):
            pass
        response = await http.get(f"{server.url}/whole")

    assert response.content == b"one"
    assert server.accepted == 2


async def test_request_body_streams_in_chunks_or_by_its_length() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    async with serve(answering(WHOLE)) as server, client() as http:
        await http.post(server.url, content=pieces())
        await http.post(server.url, content=pieces(), headers={"Content-Length": "6"})
        await http.post(server.url, files={"f": ("name", b"x" * 100_000)})

    assert [request.body for request in server.requests[:2]] == [b"onetwo"] * 2
    assert b"x" * 100_000 in server.requests[2].body
    assert server.accepted == 1


async def test_closing_the_transport_ends_what_is_being_read() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(CHUNKED + b"3\r\none\r\n")

    transport = HeadraceTransport()
    async with serve(script) as server:
        request = httpx.Request("GET", server.url)
        response = await transport.handle_async_request(request)
        pieces = aiter(response.aiter_raw())
        first = await anext(pieces)
        async with trio.open_nursery() as nursery:

            async def close() -> None:
                await trio.testing.wait_all_tasks_blocked()
                await transport.aclose()

            nursery.start_soon(close)
            with pytest.raises(httpx.ReadError):
                await anext(pieces)

    assert first == b"one"


def test_transport_serves_one_run_after_the_other() -> None:
    transport = HeadraceTransport()

    async def run() -> int:
        async with serve(answering(WHOLE)) as server:
            for _ in range(2):
                response = await transport.handle_async_request(httpx.Request("GET", server.url))
                await response.aread()
            return server.accepted

    accepted = [trio.run(run) for _ in range(2)]
    trio.run(transport.aclose)

    assert accepted == [1, 1]


async def test_head_has_no_body_whatever_its_length_says() -> None:
    async with serve(answering(HEAD + b"Content-Length: 500\r\n\r\n")) as server, client() as http:
        responses = [await http.head(server.url) for _ in range(2)]

    assert [(response.status_code, response.content) for response in responses] == [(200, b"")] * 2


async def test_client_follows_redirects_when_told() -> None:
    async def script(peer: Peer, request: Request) -> None:
        moved = b"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n"
        await peer.send(moved if request.target == "/old" else WHOLE)

    async with serve(script) as server, client() as http:
        stays = await http.get(f"{server.url}/old")
        goes = await http.get(f"{server.url}/old", follow_redirects=True)

    assert (stays.status_code, goes.status_code) == (302, 200)


@pytest.mark.parametrize("seen", [True, False])
async def test_connection_closed_at_rest_is_replaced(monkeypatch: pytest.MonkeyPatch, *, seen: bool) -> None:
    """seen: by a look at the socket; else only by the kernel's word that nothing of the request was taken."""
    if not seen:
        monkeypatch.setattr("pipeline.edges.http.connection.Connection.surplus", lambda self: None)
    gone = trio.Event()

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(WHOLE)
        if peer.number == 0:
            await peer.close()
            gone.set()

    async with serve(script) as server, client() as http:
        await http.get(server.url)
        await gone.wait()
        response = await http.get(server.url)

    assert response.json() == {"choices": [{"text": "ok"}]}
    assert (server.accepted, len(server.requests)) == (2, 2)


async def test_connection_idle_for_too_long_is_closed_when_another_comes_back() -> None:
    transport = HeadraceTransport(idle_seconds=0.0)
    async with serve(answering(WHOLE)) as server, httpx.AsyncClient(transport=transport) as http:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(http.get, server.url)
        kept = sum(map(len, transport._idle.values()))

    assert kept == 1

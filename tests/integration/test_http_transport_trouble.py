"""HeadraceTransport under httpx.AsyncClient in trouble: timeouts, errors, cancellation and refusals as httpx's users know them."""

from __future__ import annotations

import asyncio

import httpx
import pytest
import trio

from pipeline.edges.http.client.transport import HeadraceTransport
from pipeline.edges.http.endpoint import Caps
from tests.fakes.servers import WHOLE, Peer, Request, answer_whole, answering, answering_and_closing, listen, listen_unix, serve
from tests.integration.test_http_transport import CHUNKED, HEAD, client

pytestmark = pytest.mark.usefixtures("any_readiness")


async def hang(stream: trio.SocketStream) -> None:
    await trio.sleep_forever()


TROUBLE: dict[str, tuple[bytes | None, type[Exception]]] = {
    "nothing": (b"", httpx.RemoteProtocolError),
    "garbage": (b"<html>", httpx.RemoteProtocolError),
    "cut headers": (HEAD, httpx.RemoteProtocolError),
    "cut body": (HEAD + b"Content-Length: 5\r\n\r\nab", httpx.RemoteProtocolError),
    "cut chunks": (CHUNKED + b"5\r\nab", httpx.RemoteProtocolError),
    "broken chunks": (CHUNKED + b"zz\r\n", httpx.RemoteProtocolError),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", httpx.RemoteProtocolError),
}


@pytest.mark.parametrize("name", TROUBLE)
async def test_trouble_has_httpx_s_names(name: str) -> None:
    data, expected = TROUBLE[name]

    async with serve(answering_and_closing(data or b"")) as server, client() as http:
        with pytest.raises(expected):
            await http.get(server.url)
        with pytest.raises(expected):
            await http.get(server.url)

    assert server.accepted == 2


async def test_reset_is_a_read_error() -> None:
    async def script(peer: Peer, request: Request) -> None:
        peer.reset()

    async with serve(script) as server, client() as http:
        with pytest.raises(httpx.ReadError):
            await http.get(server.url)


async def test_refused_connection_is_a_connect_error() -> None:
    async with client() as http:
        with pytest.raises(httpx.ConnectError, match="refused"):
            await http.get("http://127.0.0.1:1/")


async def test_read_timeout_holds_for_head_and_body() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(b"" if request.target == "/head" else CHUNKED + b"2\r\nab\r\n")
        await trio.sleep_forever()

    async with serve(script) as server, client() as http:
        for target in ("/head", "/body"):
            with pytest.raises(httpx.ReadTimeout):
                await http.get(server.url + target, timeout=httpx.Timeout(5, read=0.05))


async def test_write_timeout_holds_when_the_server_reads_nothing() -> None:
    async with trio.open_nursery() as nursery:
        port = await nursery.start(listen, hang)
        async with client() as http:
            with pytest.raises(httpx.WriteTimeout):
                await http.post(f"http://127.0.0.1:{port}/", content=bytes(30_000_000), timeout=httpx.Timeout(5, write=0.05))
        nursery.cancel_scope.cancel()


async def test_cancelled_request_closes_its_connection() -> None:
    async def script(peer: Peer, request: Request) -> None:
        await peer.send(CHUNKED + b"2\r\nab\r\n")
        if request.target != "/part":
            await peer.send(b"0\r\n\r\n")

    async with serve(script) as server, client() as http:
        with trio.move_on_after(0.05) as scope:
            await http.get(f"{server.url}/part", timeout=None)
        response = await http.get(server.url)

    assert scope.cancelled_caught
    assert response.content == b"ab"
    assert server.accepted == 2


async def test_caps_hold_when_set() -> None:
    async with serve(answering(HEAD + b"Content-Length: 1000\r\n\r\n" + bytes(1000))) as server:
        async with client(caps=Caps(body=999)) as http:
            with pytest.raises(httpx.RemoteProtocolError, match="999"):
                await http.get(server.url)
        async with client() as http:
            assert len((await http.get(server.url)).content) == 1000


@pytest.mark.parametrize("value", [b"a\r\nEvil: 1", b"a\nb", b"a\rb", b"a\x00b"])
async def test_header_that_ends_its_line_is_never_sent(value: bytes) -> None:
    async with serve(answering(WHOLE)) as server, client() as http:
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(server.url, headers={b"X-A": value})
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(server.url, headers={value: b"a"})

    assert server.requests == []


async def test_what_it_does_not_speak_is_refused() -> None:
    async with client() as http:
        with pytest.raises(httpx.UnsupportedProtocol):
            await http.get("ftp://127.0.0.1/")
        with pytest.raises(httpx.LocalProtocolError):
            await http.request("CONNECT", "http://127.0.0.1/")


async def test_unix_socket_answers_for_every_host(tmp_path: object) -> None:
    path = f"{tmp_path}/s"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer_whole, [await listen_unix(path)])
        async with client(unix_socket=path) as http:
            responses = [await http.get("http://docker/version") for _ in range(2)]
        nursery.cancel_scope.cancel()

    assert [response.json() for response in responses] == [{"choices": [{"text": "ok"}]}] * 2


class Pieces(httpx.AsyncByteStream):
    """A body that comes in pieces. No generator: trio complains of one that is left half-way."""

    def __init__(self, *pieces: bytes) -> None:
        self._left = list(pieces)

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop(0)


@pytest.mark.parametrize(
    "headers, body",
    [
        ({"content-length": "2"}, b"abcd"),
        ({"content-length": "9"}, b"abcd"),
        ({"content-length": "+4"}, b"abcd"),
        ({"content-length": "4", "transfer-encoding": "chunked"}, b"abcd"),
        ({"transfer-encoding": "gzip, chunked"}, b"abcd"),
        ({"content-length": "5"}, b""),
        ({"content-length": "2"}, [b"ab", b"cd"]),
        ({"content-length": "9"}, [b"ab", b"cd"]),
    ],
)
async def test_body_that_is_not_as_long_as_it_says_is_refused(headers: dict[str, str], body: bytes | list[bytes]) -> None:
    async with serve(answering(WHOLE)) as server, client() as http:
        if isinstance(body, bytes):
            request = http.build_request("POST", server.url, headers=headers, content=body)
        else:
            request = httpx.Request("POST", server.url, headers={"host": "a", **headers}, stream=Pieces(*body))
        with pytest.raises(httpx.LocalProtocolError):
            await http.send(request)
        assert (await http.get(f"{server.url}/next")).json() == {"choices": [{"text": "ok"}]}

    assert [request.target for request in server.requests] in (["/next"], ["/", "/next"])  # what streamed had begun to leave


async def test_body_without_any_length_is_refused() -> None:
    async with serve(answering(WHOLE)) as server, client() as http:
        request = http.build_request("POST", server.url, content=b"GET /smuggled HTTP/1.1")
        del request.headers["content-length"]
        with pytest.raises(httpx.LocalProtocolError, match="either a content-length or a transfer-encoding"):
            await http.send(request)

    assert server.requests == []


async def test_request_of_another_library_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="serves requests of httpx, got one of builtins"):
        await HeadraceTransport().handle_async_request(object())  # type: ignore[arg-type]


def test_asyncio_is_refused_in_words() -> None:
    async def ask() -> None:
        async with client() as http:
            await http.get("http://127.0.0.1:9/")

    with pytest.raises(RuntimeError, match="runs on trio alone"):
        asyncio.run(ask())

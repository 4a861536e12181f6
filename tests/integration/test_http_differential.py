"""The same recorded exchanges through httpx's own transport and ours: the same response, or both refuse.

Where ours is stricter on purpose, the exchange stands in STRICTER with the reason.
"""

from __future__ import annotations

import gzip
import zlib

import brotli
import httpx
import pytest
import zstandard

from pipeline.edges.http import open_senders
from pipeline.edges.http.client.transport import HeadraceTransport
from pipeline.edges.http.endpoint import Endpoint
from pipeline.records import Fault, Job
from tests.fakes.servers import answering_and_closing, serve

BODY = '{"id": "chatcmpl-1", "choices": [{"message": {"content": "\u2028 née 水"}}], "usage": {"total_tokens": 3}}'.encode()


def with_length(body: bytes = BODY, extra: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return start + b"\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_chunks(body: bytes = BODY, size: int = 7, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(body[at : at + size]), extension, body[at : at + size]) for at in range(0, len(body), size))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n" + trailer + b"\r\n"


EXCHANGES = {
    "length": with_length(),
    "length zero": with_length(b""),
    "400 kB": with_length(b"x" * 400_000),
    "chunks": in_chunks(),
    "one chunk": in_chunks(size=1000),
    "chunk extensions": in_chunks(extension=b";a=b"),
    "trailers": in_chunks(trailer=b"X-Sum: 1\r\nX-Other: 2\r\n"),
    "no chunk but the last": in_chunks(b""),
    "until the end": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n" + BODY,
    "until the end, 1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "HTTP/1.0": with_length(start=b"HTTP/1.0 200 OK"),
    "100 first": b"HTTP/1.1 100 Continue\r\n\r\n" + with_length(),
    "103 first": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + with_length(),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n",
    "404": with_length(start=b"HTTP/1.1 404 Not Found"),
    "529 without a reason": with_length(start=b"HTTP/1.1 529 "),
    "headers twice": with_length(extra=b"X-A: 1\r\nX-A: 2\r\n"),
    "headers beyond ASCII": with_length(extra=b"X-A: \xc3\xa9\r\n"),
    "white space around values": with_length(extra=b"X-A:  \t1 \t \r\nX-B:\r\n"),
    "gzip": with_length(gzip.compress(BODY), b"Content-Encoding: gzip\r\n"),
    "deflate": with_length(zlib.compress(BODY), b"Content-Encoding: deflate\r\n"),
    "bare deflate": with_length(zlib.compress(BODY, wbits=-15), b"Content-Encoding: deflate\r\n"),
    "br": with_length(brotli.compress(BODY), b"Content-Encoding: br\r\n"),
    "zstd": with_length(zstandard.compress(BODY), b"Content-Encoding: zstd\r\n"),
    "two codings": with_length(zlib.compress(gzip.compress(BODY)), b"Content-Encoding: gzip, deflate\r\n"),
    "a coding that nobody knows": with_length(BODY, b"Content-Encoding: rot13\r\n"),
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "cut in the body": with_length()[:-1],
    "cut in a chunk": in_chunks()[:-30],
    "cut before the last chunk": in_chunks()[:-5],
    "cut in the head": b"HTTP/1.1 200 OK\r\nConte",
    "nothing": b"",
    "garbage": b"\x00\x01\x02",
    "lengths that differ": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcd",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabcd",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 4\r\n\r\nabcd",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 4\r\n\r\nabcd",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcd",
    "chunk sizes that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "broken gzip": with_length(b"not gzip at all", b"Content-Encoding: gzip\r\n"),
}

STRICTER = {
    "another protocol": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 4\n\nabcd",  # h11 takes it; two readers may see different lines
    "a folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4\r\n\r\nabcd",  # RFC 9112, 5.2
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",  # RFC 9112, 6.3
    "gzip cut short": with_length(gzip.compress(BODY)[:-4], b"Content-Encoding: gzip\r\n"),  # httpx gives what there is
}

Seen = tuple[int, list[tuple[bytes, bytes]], bytes] | None


async def through_httpx(url: str, transport: httpx.AsyncBaseTransport) -> Seen:
    async with httpx.AsyncClient(transport=transport, timeout=5) as client:
        try:
            response = await client.post(f"{url}/v1/x", content=b"{}")
        except (httpx.TransportError, httpx.DecodingError):
            return None
    return response.status_code, [(name.lower(), value) for name, value in response.headers.raw], response.content


async def through_sender(url: str) -> Seen:
    async with open_senders(Endpoint(url)) as open_sender:
        sender = open_sender()
        reply = await sender.send(Job(0, "a", "POST", "/v1/x", b"{}", 1, 1), "i")
        sender.close()
    return None if isinstance(reply, Fault) else (reply.status, list(reply.headers), reply.body)


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx leaves generators half-way when a body is bad
async def test_every_way_to_send_sees_the_same_response(name: str) -> None:
    async with serve(answering_and_closing(EXCHANGES[name])) as server:
        stock = await through_httpx(server.url, httpx.AsyncHTTPTransport())
        ours = await through_httpx(server.url, HeadraceTransport())
        direct = await through_sender(server.url)

    assert ours == stock
    assert direct == stock


@pytest.mark.parametrize("name", STRICTER)
async def test_what_is_ambiguous_is_refused_even_where_httpx_takes_it(name: str) -> None:
    async with serve(answering_and_closing(STRICTER[name])) as server:
        stock = await through_httpx(server.url, httpx.AsyncHTTPTransport())
        direct = await through_sender(server.url)

    assert stock is not None  # once httpx refuses it too, it belongs to EXCHANGES
    assert direct is None

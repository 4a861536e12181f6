"""Faults that pass: what is no HTTP, or HTTP that contradicts itself or breaks off."""

from __future__ import annotations

from tests.fakes.hostile_request import PASSING, Request, body_of, framed, way


@way(PASSING)
async def cut_body(request: Request) -> None:
    body = body_of(request)
    await request.finish_and_close(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body) + 1, body))


@way(PASSING)
async def cut_chunks(request: Request) -> None:
    body = body_of(request)
    await request.finish_and_close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(body), body))


@way(PASSING)
async def length_in_trailer(request: Request) -> None:
    body = body_of(request)
    chunks = b"%x\r\n%s\r\n0\r\ncontent-length: 3\r\n\r\n" % (len(body), body)
    await request.finish(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)


@way(PASSING)
async def cut_headers(request: Request) -> None:
    await request.finish_and_close(b"HTTP/1.1 200 OK\r\ncontent-len")


@way(PASSING)
async def garbage(request: Request) -> None:
    await request.finish_and_close(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)))


@way(PASSING)
async def other_protocol(request: Request) -> None:
    await request.finish_and_close(b"220 mail.example.com ESMTP ready\r\n")


@way(PASSING)
async def http_2(request: Request) -> None:
    await request.finish_and_close(b"HTTP/2 200\r\ncontent-length: 2\r\n\r\n{}")


@way(PASSING)
async def upgrade(request: Request) -> None:
    await request.finish(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n" + framed(body_of(request)))


@way(PASSING)
async def two_lengths(request: Request) -> None:
    body = body_of(request)
    await request.finish(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-length: 5\r\n\r\n%s" % (len(body), body))


@way(PASSING, "-1", "1e3", "0x10", "99999999999999999999999", "", "12, 12", "+5")
async def bad_length(request: Request) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %s\r\n\r\n" % request.argument.encode()
    await request.finish_and_close(head + body_of(request))


@way(PASSING)
async def length_and_chunks(request: Request) -> None:
    body = body_of(request)
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"
    await request.finish(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


@way(PASSING)
async def bad_chunk_size(request: Request) -> None:
    await request.finish_and_close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n" + body_of(request))


@way(PASSING)
async def huge_chunk_size(request: Request) -> None:
    await request.finish_and_close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n" + body_of(request))


@way(PASSING)
async def huge_headers(request: Request) -> None:
    await request.finish_and_close(framed(body_of(request), headers=b"".join(b"x-%d: %s\r\n" % (n, b"v" * 4000) for n in range(100))))


@way(PASSING)
async def endless_header(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nx-long: ")
    while True:
        await request.send(b"v" * 65_536)


@way(PASSING)
async def nul_in_header(request: Request) -> None:
    await request.finish_and_close(framed(body_of(request), headers=b"x-nul: a\0b\r\n"))


@way(PASSING)
async def only_line_feeds(request: Request) -> None:
    """Some clients read it; whoever does must read it right."""
    body = body_of(request)
    await request.finish_and_close(b"HTTP/1.1 200 OK\ncontent-type: application/json\ncontent-length: %d\n\n%s" % (len(body), body))

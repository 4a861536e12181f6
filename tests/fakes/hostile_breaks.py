"""Faults that pass: no answer in what is well framed, connections that break, servers that stall."""

from __future__ import annotations

import gzip
from functools import cache

import trio

from tests.fakes.hostile_request import PASSING, Request, body_of, error_of, framed, until_given_up, way


@way(PASSING)
async def error_in_success(request: Request) -> None:
    await request.finish(framed(error_of(request)))


@way(PASSING)
async def broken_json(request: Request) -> None:
    await request.finish(framed(body_of(request)[:-9]))


@way([])
async def bad_utf8(request: Request) -> None:
    await request.finish(framed(body_of(request).replace(b"answer", b"answ\xffer")))


@way(PASSING)
async def two_values(request: Request) -> None:
    await request.finish(framed(body_of(request) * 2))


@way(PASSING)
async def html_in_success(request: Request) -> None:
    await request.finish(framed(b"<html><body>Please log in</body></html>", headers=b"content-type: text/html\r\n"))


@way(PASSING)
async def empty(request: Request) -> None:
    await request.finish(framed(b""))


@way(PASSING)
async def no_content(request: Request) -> None:
    await request.finish(b"HTTP/1.1 204 No Content\r\n\r\n")


@way(PASSING)
async def a_number(request: Request) -> None:
    await request.finish(framed(b"42"))


@way(PASSING)
async def cut_gzip(request: Request) -> None:
    await request.finish(framed(gzip.compress(body_of(request))[:-9], headers=b"content-encoding: gzip\r\n"))


@way(PASSING)
async def no_gzip(request: Request) -> None:
    await request.finish(framed(body_of(request), headers=b"content-encoding: gzip\r\n"))


@way(PASSING)
async def unknown_coding(request: Request) -> None:
    await request.finish(framed(body_of(request), headers=b"content-encoding: rot13\r\n"))


@cache
def _bomb() -> bytes:
    return gzip.compress(gzip.compress(bytes(100 << 20), 1), 1)


@way(PASSING)
async def gzip_bomb(request: Request) -> None:
    await request.finish(framed(_bomb(), headers=b"content-encoding: gzip, gzip\r\n"))


@way(PASSING)
async def close_at_once(request: Request) -> None:
    await request.finish_and_close(b"")


@way(PASSING)
async def reset_before(request: Request) -> None:
    request.reset()


@way(PASSING)
async def reset_in_body(request: Request) -> None:
    data = framed(body_of(request))
    await request.send(data[:-20])
    await trio.lowlevel.checkpoint()
    request.reset()


@way(PASSING)
async def stall_before(request: Request) -> None:
    await until_given_up(request)


@way(PASSING)
async def stall_in_headers(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-le")
    await until_given_up(request)


@way(PASSING)
async def stall_in_body(request: Request) -> None:
    await request.send(framed(body_of(request))[:-20])
    await until_given_up(request)


@way(PASSING)
async def drip(request: Request) -> None:
    """A byte now and then, for ever."""
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        await request.send(b" ")
        await trio.sleep(0.05)


@way(PASSING)
async def interim_for_ever(request: Request) -> None:
    while True:
        await request.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await trio.sleep(0.02)

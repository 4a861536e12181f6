"""The ways in which the hostile provider answers. A way that returns leaves the connection open; one that closes it raises Gone.

RESULTS: the row's answer is in it, whole, whatever it looks like. PASSING: no answer, and another attempt may bring one.
LASTING: the provider's last word on the row.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from functools import cache

import trio
from attrs import define

AN_HOUR = 3600.0  # a stall outlasts every deadline
STRANGE = '\u2028\u2029\u0085\v\f emoji \U0001f600 quote " backslash \\ tab \t newline \n nul \x00 del \x7f é ﷽ \ufeff {braces} </script>'


class Gone(Exception):  # noqa: N818  the end of a connection is no error
    """The connection is closed."""


@define
class Request:
    """A request that was read whole. done: tells the book that it is answered, before the last byte leaves."""

    name: str
    attempt: int
    argument: str
    stream: trio.SocketStream
    done: Callable[[], None]

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def finish(self, data: bytes) -> None:
        """The last bytes of an answer."""
        self.done()
        await self.stream.send_all(data)

    async def finish_and_close(self, data: bytes) -> None:
        """The last bytes, and the end of the connection."""
        await self.finish(data)
        await self.stream.aclose()
        raise Gone

    def reset(self) -> None:
        """Close with a RST."""
        self.done()
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()
        raise Gone


Way = Callable[[Request], Awaitable[None]]
WAYS: dict[str, Way] = {}
RESULTS: list[str] = []
PASSING: list[str] = []
LASTING: list[str] = []


def way(kind: list[str], *arguments: str) -> Callable[[Way], Way]:
    """Enter a way under its function's name, once for each argument."""

    def enter(answer: Way) -> Way:
        WAYS[answer.__name__] = answer
        kind.extend([f"{answer.__name__}:{argument}" for argument in arguments] or [answer.__name__])
        return answer

    return enter


def reply(name: str, content: str = "", usage: object = None) -> dict[str, object]:
    """A chat completion that names its row."""
    message = {"role": "assistant", "content": f"answer to {name}{content}"}
    counted = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12} if usage is None else usage
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": f"chatcmpl-{name}", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counted}


def framed(body: bytes, status: str = "200 OK", headers: bytes = b"content-type: application/json\r\n") -> bytes:
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status.encode(), headers, len(body), body)


def body_of(request: Request, content: str = "") -> bytes:
    return json.dumps(reply(request.name, content)).encode()


def error_of(request: Request, code: str | None = None, kind: str = "some_error") -> bytes:
    return json.dumps({"error": {"message": f"no answer to {request.name}", "type": kind, "param": None, "code": code}}).encode()


# ---- results -----------------------------------------------------------------------------------------------------


@way(RESULTS)
async def plain(request: Request) -> None:
    await request.finish(framed(body_of(request)))


@way([])
async def late(request: Request) -> None:
    """late:SECONDS."""
    await trio.sleep(float(request.argument))
    await plain(request)


@way(RESULTS)
async def chunked(request: Request) -> None:
    body = body_of(request)
    pieces = [body[at : at + 40] for at in range(0, len(body), 40)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    await request.finish(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")


@way(RESULTS)
async def chunked_with_trailers(request: Request) -> None:
    body = body_of(request)
    await request.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n")
    await request.send(b'%X;name=value;other="quo ted"\r\n' % len(body))
    await request.send(body + b"\r\n")
    await request.finish(b"000;last\r\nx-sum: 1\r\nset-cookie: a=b\r\n\r\n")


@way(RESULTS)
async def chunked_byte_by_byte(request: Request) -> None:
    body = body_of(request)
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    await _in_pieces(request, data, 20)


@way(RESULTS)
async def interim_answers(request: Request) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
    await request.send(interim)
    await trio.lowlevel.checkpoint()
    await plain(request)


@way(RESULTS)
async def http_1_0(request: Request) -> None:
    await request.finish_and_close(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body_of(request))


@way(RESULTS)
async def http_1_0_keep_alive(request: Request) -> None:
    body = body_of(request)
    await request.finish(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@way(RESULTS)
async def until_close(request: Request) -> None:
    await request.finish_and_close(b"HTTP/1.1 200 OK\r\n\r\n" + body_of(request))


@way(RESULTS)
async def connection_close(request: Request) -> None:
    await request.finish_and_close(framed(body_of(request), headers=b"Connection: Close\r\n"))


@way(RESULTS)
async def connection_close_but_open(request: Request) -> None:
    await request.finish(framed(body_of(request), headers=b"connection: close\r\n"))


@way(RESULTS)
async def close_without_notice(request: Request) -> None:
    """The connection is promised and closed: the next request on it meets a stale one."""
    await request.finish_and_close(framed(body_of(request), headers=b"connection: keep-alive\r\nkeep-alive: timeout=60\r\n"))


@way(RESULTS)
async def close_a_little_later(request: Request) -> None:
    """As above, but so that the next request may be under way already."""
    await request.finish(framed(body_of(request)))
    await trio.lowlevel.checkpoint()
    await request.stream.aclose()
    raise Gone


@way(RESULTS)
async def reset_after(request: Request) -> None:
    await request.finish(framed(body_of(request)))
    await trio.sleep(0.002)  # so that the answer is read before its connection is reset
    request.reset()


@way(RESULTS)
async def headers_byte_by_byte(request: Request) -> None:
    body = body_of(request)
    await _in_pieces(request, framed(body)[: -len(body)], 1, last=body)


@way(RESULTS)
async def body_byte_by_byte(request: Request) -> None:
    data = framed(body_of(request))
    head = data.index(b"\r\n\r\n") + 4
    await request.send(data[:head])
    await _in_pieces(request, data[head:], 1)


@way(RESULTS)
async def big(request: Request) -> None:
    await request.finish(framed(body_of(request, "x" * 400_000)))


@way(RESULTS)
async def big_in_pieces(request: Request) -> None:
    await _in_pieces(request, framed(body_of(request, "é\u2028" * 100_000)), 9_973)


@way(RESULTS)
async def big_gzip(request: Request) -> None:
    await request.finish(framed(gzip.compress(body_of(request, "x" * 4_000_000), 1), headers=b"content-encoding: gzip\r\n"))


@way(RESULTS)
async def gzipped(request: Request) -> None:
    await request.finish(framed(gzip.compress(body_of(request)), headers=b"Content-Encoding: GZIP\r\n"))


@way(RESULTS)
async def gzipped_chunked(request: Request) -> None:
    packed = gzip.compress(body_of(request))
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: x-gzip\r\ntransfer-encoding: chunked\r\n\r\n"
    await _in_pieces(request, head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed), 7)


@way(RESULTS)
async def deflated(request: Request) -> None:
    await request.finish(framed(zlib.compress(body_of(request)), headers=b"content-encoding: deflate\r\n"))


@way(RESULTS)
async def deflated_bare(request: Request) -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(body_of(request)) + packer.flush()
    await request.finish(framed(packed, headers=b"content-encoding: deflate\r\n"))


@way(RESULTS)
async def identity(request: Request) -> None:
    await request.finish(framed(body_of(request), headers=b"content-encoding: identity\r\n"))


@way(RESULTS)
async def strange_text(request: Request) -> None:
    await request.finish(framed(json.dumps(reply(request.name, STRANGE), ensure_ascii=False).encode()))


@way(RESULTS)
async def strange_text_escaped(request: Request) -> None:
    await request.finish(framed(body_of(request, STRANGE)))


@way(RESULTS)
async def pretty(request: Request) -> None:
    await request.finish(framed(json.dumps(reply(request.name), indent=4).replace("\n", "\r\n").encode() + b"\r\n\r\n"))


@way(RESULTS)
async def byte_order_mark(request: Request) -> None:
    await request.finish(framed(b"\xef\xbb\xbf" + body_of(request)))


@way(RESULTS)
async def odd_headers(request: Request) -> None:
    body = body_of(request)
    head = b"HTTP/1.1 200 \r\nCoNtEnT-LeNgTh:\t%d  \r\nX-Empty:\r\nSERVER: a\xe9\xff\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n"
    await request.finish(head % len(body) + body)


@way(RESULTS)
async def no_reason(request: Request) -> None:
    body = body_of(request)
    await request.finish(b"HTTP/1.1 200\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))


@way(RESULTS)
async def large_headers(request: Request) -> None:
    await request.finish(framed(body_of(request), headers=b"".join(b"x-%d: %s\r\n" % (n, b"v" * 400) for n in range(100))))


@way(RESULTS)
async def bytes_after(request: Request) -> None:
    """Bytes that nobody asked for, in the same packet as the answer's last."""
    await request.finish(framed(body_of(request)) + b"garbage that belongs to nobody\r\n\r\n")


@way(RESULTS)
async def answered_twice(request: Request) -> None:
    """A second answer behind the first one: whoever reads on gives it to the next row."""
    await request.finish(framed(body_of(request)) + framed(json.dumps(reply("another-row")).encode()))


@way(RESULTS)
async def status_201(request: Request) -> None:
    await request.finish(framed(body_of(request), "201 Created"))


ODD_USAGES = (
    '{"prompt_tokens":-5,"completion_tokens":-7,"total_tokens":-12}',
    '{"prompt_tokens":99999999999999999999999999,"total_tokens":99999999999999999999999999}',
    '{"total_tokens":"12"}',
    '{"total_tokens":null}',
    '{"total_tokens":12.5}',
    '{"total_tokens":true}',
    "{}",
    "[1]",
    "null",
    '"many"',
)


@way(RESULTS, *ODD_USAGES)
async def usage(request: Request) -> None:
    """usage:JSON."""
    body = json.dumps(reply(request.name, usage="USAGE")).replace('"USAGE"', request.argument)
    await request.finish(framed(body.encode()))


# ---- faults that pass --------------------------------------------------------------------------------------------


@way(PASSING)
async def error_in_success(request: Request) -> None:
    await request.finish(framed(error_of(request)))


@way(PASSING)
async def broken_json(request: Request) -> None:
    await request.finish(framed(body_of(request)[:-9]))


@way(PASSING)
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
    await _until_given_up(request)


@way(PASSING)
async def stall_in_headers(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\ncontent-le")
    await _until_given_up(request)


@way(PASSING)
async def stall_in_body(request: Request) -> None:
    await request.send(framed(body_of(request))[:-20])
    await _until_given_up(request)


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


STATUSES = ("408", "409", "425", "429", "500", "502", "503", "504", "529", "599")
WAITS = ("retry-after=0.05", "retry-after=0", "retry-after=-1", "retry-after=nan", "retry-after=soon", "retry-after=1e9",
         "retry-after=1000000000", "retry-after-ms=30", "retry-after=")  # fmt: skip
ADVISED = ("503:retry-after=0.03", "529:retry-after=0.02", "400:x-should-retry=true", "404:x-should-retry=true")


@way(PASSING, *STATUSES, *(f"429:{wait}" for wait in WAITS), *ADVISED)
async def status(request: Request) -> None:
    """status:CODE, status:CODE:NAME=VALUE for a header."""
    code, _, header = request.argument.partition(":")
    line = header.replace("=", ": ", 1).encode() + b"\r\n" if header else b""
    await request.finish(framed(error_of(request), f"{code} Some Reason", b"content-type: application/json\r\n" + line))


@way(PASSING, "502", "503")
async def html(request: Request) -> None:
    page = b"<html>\n<h1>%s</h1>\n<p>no answer to %s</p></html>" % (request.argument.encode(), request.name.encode())
    await request.finish(framed(page, f"{request.argument} Bad", b"content-type: text/html\r\n"))


@way(PASSING)
async def retry_after_date(request: Request) -> None:
    request.argument = f"429:retry-after={formatdate(time.time() + 0.5, usegmt=True)}"
    await status(request)


@way(PASSING, "500:rate_limit", "429:rate_limit_exceeded")
async def code(request: Request) -> None:
    """code:STATUS:CODE."""
    number, _, name = request.argument.partition(":")
    await request.finish(framed(error_of(request, name, name), f"{number} Error"))


@way(PASSING)
async def retry_after_in_message(request: Request) -> None:
    error = {"error": {"message": f"Rate limit exceeded for {request.name}. Retry-After: 0.02 seconds. Current: 120/min, Limit: 100/min"}}
    await request.finish(framed(json.dumps(error).encode(), "429 Too Many Requests"))


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


# ---- last words --------------------------------------------------------------------------------------------------


@way(LASTING, "400", "404", "405", "410", "413", "415", "422", "451", "500:x-should-retry=false", "429:x-should-retry=false")
async def refuse(request: Request) -> None:
    request.argument, _, header = request.argument.partition(":")
    line = header.replace("=", ": ", 1).encode() + b"\r\n" if header else b""
    await request.finish(framed(error_of(request, "bad_thing"), f"{request.argument} No", line))


@way(LASTING, "400", "404", "413")
async def refuse_in_html(request: Request) -> None:
    await html(request)


@way(LASTING, "400", "404")
async def refuse_without_words(request: Request) -> None:
    await request.finish(framed(b"", f"{request.argument} No"))


@way(LASTING, "301", "302", "303", "307", "308")
async def redirect(request: Request) -> None:
    """To another host, which must never see a key."""
    head = f"HTTP/1.1 {request.argument} Moved\r\nlocation: http://127.0.0.2:9/v1/chat/completions\r\ncontent-length: 0\r\n\r\n"
    await request.finish(head.encode())


# ---- of the key --------------------------------------------------------------------------------------------------


@way([])
async def key(request: Request) -> None:
    """key:STATUS[:CODE] as a provider says it of credentials or money."""
    number, _, name = request.argument.partition(":")
    await request.finish(framed(error_of(request, name or None, name or "invalid_request_error"), f"{number} No"))


# ---- helpers -----------------------------------------------------------------------------------------------------


async def _in_pieces(request: Request, data: bytes, size: int, *, last: bytes = b"") -> None:
    request.stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    if last:
        pieces.append(last)
    for piece in pieces[:-1]:
        await request.send(piece)
    await request.finish(pieces[-1])


async def _until_given_up(request: Request) -> None:
    with trio.move_on_after(AN_HOUR):
        await request.stream.receive_some()
    request.done()
    raise Gone

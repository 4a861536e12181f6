"""Ways in which the row's answer comes, whole, whatever it looks like."""

from __future__ import annotations

import gzip
import json
import zlib

import trio

from tests.fakes.hostile_request import RESULTS, Gone, Request, body_of, framed, in_pieces, reply, way

STRANGE = '\u2028\u2029\u0085\v\f emoji \U0001f600 quote " backslash \\ tab \t newline \n nul \x00 del \x7f é ﷽ \ufeff {braces} </script>'


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
    await in_pieces(request, data, 20)


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
    await in_pieces(request, framed(body)[: -len(body)], 1, last=body)


@way(RESULTS)
async def body_byte_by_byte(request: Request) -> None:
    data = framed(body_of(request))
    head = data.index(b"\r\n\r\n") + 4
    await request.send(data[:head])
    await in_pieces(request, data[head:], 1)


@way(RESULTS)
async def big(request: Request) -> None:
    await request.finish(framed(body_of(request, "x" * 400_000)))


@way(RESULTS)
async def big_in_pieces(request: Request) -> None:
    await in_pieces(request, framed(body_of(request, "é\u2028" * 100_000)), 9_973)


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
    await in_pieces(request, head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed), 7)


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

"""What a server's bytes mean: every framing that HTTP/1.1 knows, and every trick that is refused."""

from __future__ import annotations

import pytest

from pipeline.edges.http.endpoint import Caps
from pipeline.edges.http.response import MAX_HEADERS, MAX_INTERIM, MalformedResponseError, ResponseReader
from pipeline.records import FaultCause

HEAD = b"HTTP/1.1 200 OK\r\n"
SMALL = Caps(headers=2000, body=100)


def read(*pieces: bytes, end: bool = False, caps: Caps = SMALL, without_body: bool = False) -> ResponseReader:
    reader = ResponseReader(caps)
    reader.begin(without_body=without_body)
    for piece in pieces:
        reader.feed(piece)
    if end:
        reader.feed(b"")
    return reader


WHOLE = {
    "content-length": (HEAD + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "empty": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, b"hi", True),
    "chunk extensions": (HEAD + b'Transfer-Encoding: Chunked\r\n\r\n2;a=b;c="d"\r\nhi\r\n0;e\r\n\r\n', 200, b"hi", True),
    "trailers": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", 200, b"hi", True),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "102 and 103 first": (
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi",
        200,
        b"hi",
        True,
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True),
    "connection close": (HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "close in a list": (HEAD + b"Connection: x, Close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "HTTP/1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "status 599": (b"HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nhi", 599, b"hi", True),
    "line breaks first": (b"\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "U+2028 in body": (HEAD + b"Content-Length: 3\r\n\r\n\xe2\x80\xa8", 200, "\u2028".encode(), True),
    "upgrade offered": (HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_response_is_read_whole_however_it_is_cut(name: str, size: int) -> None:
    data, status, body, reusable = WHOLE[name]

    reader = read(*(data[at : at + size] for at in range(0, len(data), size)))

    assert reader.complete
    assert (reader.status, reader.body(), reader.reusable) == (status, body, reusable)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_response_without_length_ends_with_the_connection(version: bytes) -> None:
    pieces = (b"HTTP/" + version + b" 200 OK\r\nX: 1\r\n\r\nhi", b" there")

    assert not read(*pieces).complete
    reader = read(*pieces, end=True)

    assert (reader.complete, reader.reusable, reader.body()) == (True, False, b"hi there")


def test_response_to_head_has_no_body_and_its_connection_is_not_kept() -> None:
    reader = read(HEAD + b"Content-Length: 50\r\n\r\n", without_body=True)

    assert (reader.complete, reader.reusable, reader.body()) == (True, False, b"")


def test_reader_reads_one_response_after_the_other() -> None:
    reader = read(HEAD + b"Content-Length: 2\r\nX-A: 1\r\n\r\nhi")
    first = (list(reader.headers), reader.body())
    reader.begin()
    reader.feed(b"HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nbye")

    assert first == ([(b"content-length", b"2"), (b"x-a", b"1")], b"hi")
    assert (reader.status, list(reader.headers), reader.body(), reader.reusable) == (404, [(b"content-length", b"3")], b"bye", True)


def test_header_values_are_kept_as_they_came_and_names_lowered() -> None:
    reader = read(HEAD + b"X-Empty:\r\nX-Odd:  \xff\xe2\x80\xa8 \r\nX-Odd: 2\r\nContent-Length: 0\r\n\r\n")

    assert reader.headers == [(b"x-empty", b""), (b"x-odd", b"\xff\xe2\x80\xa8"), (b"x-odd", b"2"), (b"content-length", b"0")]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_headers_of_interim_responses_are_not_those_of_the_answer(size: int) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nX-Request-Id: early\r\nContent-Length: 9\r\n\r\n"
    data = b"\r\n" + early + early + HEAD + b"X-Request-ID: Mine\r\nContent-Length: 2\r\n\r\nhi"

    reader = read(*(data[at : at + size] for at in range(0, len(data), size)))

    assert (reader.complete, reader.body()) == (True, b"hi")
    assert reader.headers == [(b"x-request-id", b"Mine"), (b"content-length", b"2")]
    assert reader.headers.first(b"x-request-id") == b"Mine"


def test_name_in_a_value_is_not_found_as_a_header() -> None:
    reader = read(HEAD + b"X-A: content-encoding: gzip\r\nX-B: a, request-id:7\r\nContent-Length: 0\r\n\r\n")

    assert (reader.codings, reader.headers.first(b"request-id"), reader.headers.every(b"x-b")) == ([], None, [b"a, request-id:7"])


def test_trailers_are_never_taken_for_headers() -> None:
    reader = read(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 1\r\n\r\n")

    assert reader.headers == [(b"transfer-encoding", b"chunked")]


def test_content_codings_are_listed_in_the_order_they_were_applied() -> None:
    reader = read(HEAD + b"Content-Encoding: GZIP , br\r\nContent-Encoding: zstd\r\nContent-Length: 0\r\n\r\n")

    assert reader.codings == [b"gzip", b"br", b"zstd"]


SURPLUS = {
    "a second response": HEAD + b"Content-Length: 0\r\n\r\n",
    "the start of one": b"H",
    "garbage": b"\x00garbage",
    "the body of a 204": b"hi",
}


@pytest.mark.parametrize("name", SURPLUS)
@pytest.mark.parametrize("together", [True, False])
def test_bytes_after_a_response_cost_the_connection_and_nothing_else(name: str, *, together: bool) -> None:
    data, surplus = HEAD + b"Content-Length: 2\r\n\r\nhi", SURPLUS[name]

    reader = read(data + surplus) if together else read(data, surplus)

    assert (reader.complete, reader.reusable) == (True, False)
    assert (reader.status, list(reader.headers), reader.body()) == (200, [(b"content-length", b"2")], b"hi")


@pytest.mark.parametrize("between", [b"", b"X-A: 1\r\n", b"content-length:2 \r\nX-B: 2\r\n"])
def test_length_that_is_said_again_is_one_length(between: bytes) -> None:
    reader = read(HEAD + b"Content-Length: 2\r\n" + between + b"content-length: 2\r\n\r\nhi")

    assert (reader.complete, reader.reusable, reader.body()) == (True, True, b"hi")
    assert [name for name, _ in reader.headers].count(b"content-length") == 1
    reader.begin()
    reader.feed(HEAD + b"Content-Length: 3\r\n\r\nand")
    assert (reader.complete, reader.body()) == (True, b"and")


REFUSED = {
    "two lengths that agree, and a third": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "two lengths that agree, and chunks": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths that differ in their writing": HEAD + b"Content-Length: 2\r\nContent-Length: 02\r\n\r\nhi",
    "two lengths that differ": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "a list of lengths": HEAD + b"Content-Length: 2, 2\r\n\r\nhi",
    "a negative length": HEAD + b"Content-Length: -2\r\n\r\nhi",
    "a signed length": HEAD + b"Content-Length: +2\r\n\r\nhi",
    "an empty length": HEAD + b"Content-Length: \r\n\r\nhi",
    "a length without end": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
    "length, then coding": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "coding, then length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked not last": HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "another transfer coding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "nearly chunked": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "no chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
    "a negative chunk size": HEAD + b"Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n",
    "a chunk size with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n",
    "a chunk size without end": HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhi\r\n0\r\n\r\n",
    "a chunk size before a bare LF": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n",
    "a chunk longer than it says": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n",
    "a folded header": HEAD + b"X-A: 1\r\n  2\r\nContent-Length: 0\r\n\r\n",
    "NUL in a header": HEAD + b"X-A: 1\x002\r\nContent-Length: 0\r\n\r\n",
    "a bare CR in a header": HEAD + b"X-A: 1\r2\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": HEAD + b"Content-Length : 2\r\n\r\nhi",
    "a header without a name": HEAD + b": 1\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": HEAD + b"X-A\r\nContent-Length: 0\r\n\r\n",
    "a name beyond ASCII": HEAD + b"X-\xff: 1\r\nContent-Length: 0\r\n\r\n",
    "bare LF everywhere": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "bare LF after a header": HEAD + b"Content-Length: 2\n\r\nhi",
    "switched protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "status 099": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "SHOUTcast": b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "TLS on a plain port": b"\x15\x03\x01\x00\x02\x02\x46",
    "a page without a head": b"<html>hi</html>",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_two_readers_might_read_differently_is_refused(name: str, size: int) -> None:
    data = REFUSED[name]

    with pytest.raises(MalformedResponseError):
        read(*(data[at : at + size] for at in range(0, len(data), size)))


@pytest.mark.parametrize(
    "data", [b"", b"HT", HEAD, HEAD + b"Content-Length: 2\r\n\r\nh", HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"]
)
def test_a_cut_response_is_refused(data: bytes) -> None:
    pieces = [data] if data else []

    with pytest.raises(MalformedResponseError, match="cut short"):
        read(*pieces, end=True)


LENGTHY = {
    "one header": b"X: " + b"a" * 3000,
    "many headers": b"X: 1\r\n" * 1000,
    "a reason": b"",
}


@pytest.mark.parametrize("name", LENGTHY)
@pytest.mark.parametrize("size", [7, 100_000])
def test_headers_over_the_cap_are_refused(name: str, size: int) -> None:
    data = b"HTTP/1.1 200 " + b"O" * (5000 if name == "a reason" else 1) + b"\r\n" + LENGTHY[name] + b"\r\n\r\n"

    with pytest.raises(MalformedResponseError, match="headers"):
        read(*(data[at : at + size] for at in range(0, len(data), size)))


def test_more_headers_than_anybody_needs_are_refused() -> None:
    with pytest.raises(MalformedResponseError, match=f"more than {MAX_HEADERS} headers"):
        read(HEAD + b"a: 1\r\n" * (MAX_HEADERS + 1) + b"\r\n")


@pytest.mark.parametrize("framing", [b"Content-Length: 101\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n65\r\n"])
def test_a_body_over_the_cap_is_refused(framing: bytes) -> None:
    with pytest.raises(MalformedResponseError, match="a body of more than 100 bytes"):
        read(HEAD + framing, b"x" * 101)


@pytest.mark.parametrize("rest", [b"0\r\nX: " + b"a" * 5000, b"0\r\n" + b"X: a\r\n" * 1000, b"1;" + b"a" * 5000])
def test_trailers_and_chunk_extensions_without_end_are_refused(rest: bytes) -> None:
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n" + rest

    with pytest.raises(MalformedResponseError, match="trailers or chunk extensions"):
        read(*(data[at : at + 100] for at in range(0, len(data), 100)))


def test_interim_responses_have_an_end() -> None:
    with pytest.raises(MalformedResponseError, match=f"more than {MAX_INTERIM} interim"):
        read(b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1))


@pytest.mark.parametrize("first", [0, 1, 40])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_rest_of_a_body_of_known_length_may_go_past_the_parser(first: int, size: int) -> None:
    body = bytes(range(100))
    reader = ResponseReader(SMALL)
    for _ in range(2):  # the second response shows that the first has ended
        reader.begin()

        reader.feed(HEAD + b"content-length: 100\r\n\r\n" + body[:first])
        while left := reader.left():
            at = 100 - left
            reader.take(body[at : min(at + size, 100)])

        assert (reader.complete, reader.reusable, reader.status, reader.body()) == (True, True, 200, body)


@pytest.mark.parametrize("head", [b"transfer-encoding: chunked\r\n", b"", b"x: content-length: 9\r\n"])
def test_nothing_is_known_to_be_left_of_a_body_without_a_length(head: bytes) -> None:
    assert read(HEAD + head + b"\r\n").left() == 0
    assert read(HEAD + head).left() == 0


def test_a_body_that_ends_before_its_length_is_cut_short_past_the_parser_too() -> None:
    reader = read(HEAD + b"content-length: 10\r\n\r\nabc")
    reader.take(b"def")

    with pytest.raises(MalformedResponseError, match="cut short in its body") as raised:
        reader.take(b"")

    assert raised.value.cause is FaultCause.CLOSED


def test_a_body_over_the_cap_is_refused_past_the_parser_too() -> None:
    reader = read(HEAD + b"content-length: 200\r\n\r\n")
    reader.take(b"x" * 100)

    with pytest.raises(MalformedResponseError, match="more than 100 bytes") as raised:
        reader.take(b"x")

    assert raised.value.cause is FaultCause.TOO_LARGE

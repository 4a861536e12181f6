"""No bytes from a server may hang, crash or mismatch a response, however they are cut."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.edges.http.endpoint import Caps, Endpoint, Timeouts
from pipeline.edges.http.response import MalformedResponseError, ResponseReader
from pipeline.records import Answer, FailureKind, Fault
from tests.fakes.pairs import talk

if TYPE_CHECKING:
    from tests.fakes.servers import Peer

CAPS = Caps(headers=4000, body=2000)
ENDPOINT = Endpoint("http://fuzz.example", timeouts=Timeouts(connect=20, idle=20, total=20), caps=CAPS)
FRAGMENTS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"HTTP/2.0 200 OK\r\n", b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n", b"X-A: 1\r\n", b"X-A:\t\r\n", b" folded\r\n", b"X-A : 1\r\n", b"\r\n", b"\n", b"\r", b"\x00",
    b"hello", b"5\r\nhello\r\n", b"5;a=b\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n", b"fffffff\r\n", b"\x1f\x8b\x08\x00", b"\xff",
]  # fmt: skip

soups = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=6), max_size=14).map(b"".join)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A well-formed response, by one of the framings."""
    body = draw(st.binary(max_size=60))
    start = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"])) + b"HTTP/1.1 %d X\r\n" % draw(
        st.integers(200, 599).filter(has_body)
    )
    extra = b"".join(
        b"X-%d: %s\r\n" % pair for pair in enumerate(draw(st.lists(st.sampled_from([b"", b"a", b"\xe2\x80\xa8"]), max_size=4)))
    )
    if draw(st.booleans()):
        return start + extra + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    size = draw(st.integers(1, 20))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return start + extra + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def has_body(status: int) -> bool:
    return status not in (204, 304)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A response with a few bytes changed, taken out or put in."""
    data = bytearray(draw(responses()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b"\r", b"\n", b"\x00", b":", b" ", b"0", b"9"]) | st.binary(max_size=2)
        )
    return bytes(data)


@st.composite
def cut(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes in pieces, none of them empty."""
    data = draw(of)
    marks = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=8)) & set(range(1, len(data))))
    return [data[start:stop] for start, stop in zip([0, *marks], [*marks, len(data)], strict=True) if start < stop]


def outcome(pieces: list[bytes]) -> object:
    reader = ResponseReader(CAPS)
    try:
        for piece in pieces:
            reader.feed(piece)
        reader.feed(b"")
    except MalformedResponseError:
        return None
    return reader.status, reader.headers, reader.codings, reader.body(), reader.reusable


@given(cut(soups | damaged() | responses()))
def test_any_cut_of_the_same_bytes_gives_the_same_response(pieces: list[bytes]) -> None:
    assert outcome(pieces) == outcome([b"".join(pieces)])


@given(cut(responses()))
def test_every_well_formed_response_is_read(pieces: list[bytes]) -> None:
    assert outcome(pieces) is not None


class Witness(ResponseReader):
    """Notes every header that llhttp tells of, which costs a call for each."""

    def __init__(self) -> None:
        self.told: list[tuple[bytes, bytes]] = []
        super().__init__(CAPS)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_complete:  # else a trailer
            self.told.append((name.lower(), value.strip()))

    def on_message_complete(self) -> None:
        if not self.status:
            self.told.clear()  # an interim response
        super().on_message_complete()


@given(cut(soups | damaged() | responses()))
def test_headers_are_those_that_the_parser_has_seen(pieces: list[bytes]) -> None:
    reader = Witness()
    try:
        for piece in pieces:
            reader.feed(piece)
    except MalformedResponseError:
        pass
    if not reader.head_complete:
        return

    names = [name for name, _ in reader.told]
    # Where a head says its length twice, it is read again without the second one, and the witness has seen the first reading too.
    assume(names.count(b"content-length") < 2)
    assert reader.headers == reader.told
    for name in (*names, b"content", b"x-"):
        assert reader.headers.every(name) == [value for other, value in reader.told if other == name]
        assert reader.headers.first(name) == next((value for other, value in reader.told if other == name), None)


@given(cut(soups | damaged() | responses()), st.booleans())
@settings(max_examples=100)
def test_sender_makes_an_answer_or_a_fault_of_any_bytes(pieces: list[bytes], light: bool) -> None:  # noqa: FBT001  hypothesis gives it
    async def script(peer: Peer) -> None:
        try:
            if await peer.request() is not None:
                await peer.send(*pieces)
        except trio.BrokenResourceError:
            pass  # the sender had heard enough
        finally:
            await peer.close()

    [reply] = talk(ENDPOINT, script, [b"0"], light=light)

    if isinstance(reply, Fault):
        assert reply.kind in (FailureKind.MALFORMED_RESPONSE, FailureKind.CONNECTION)
        assert reply.maybe_sent
    else:
        expected = outcome(pieces)
        assert isinstance(expected, tuple)
        assert (reply.status, reply.headers) == expected[:2]
        assert math.isfinite(reply.sent_at or math.nan)


@given(st.lists(st.just(b"") | soups | responses(), min_size=6, max_size=6), st.sets(st.integers(0, 5)), st.booleans())
@settings(max_examples=100)
def test_no_request_ever_gets_another_s_answer(surplus: list[bytes], last: set[int], light: bool) -> None:  # noqa: FBT001  hypothesis gives it
    """surplus: what comes right after each answer. last: the answers after which the server closes."""

    async def script(peer: Peer) -> None:
        try:
            while (request := await peer.request()) is not None:
                number = int(request.body)
                own = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number
                await peer.send(own + surplus[number])
                if number in last:
                    break
        except trio.BrokenResourceError:
            pass
        finally:
            await peer.close()

    replies = talk(ENDPOINT, script, [b"%d" % number for number in range(6)], light=light)

    for number, reply in enumerate(replies):
        if isinstance(reply, Answer):
            assert reply.body == b"%d" % number
        elif reply.kind is FailureKind.CONNECTION:  # a close that crossed the request, where nobody can tell whether it was read
            assert number - 1 in last
            assert reply.maybe_sent
        else:  # an answer that nobody had asked for came behind one that was not the first: whose the first is, nobody can tell
            assert number
            assert "lost step" in reply.message
            assert reply.maybe_sent

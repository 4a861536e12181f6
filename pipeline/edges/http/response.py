"""What a server's bytes mean: one HTTP/1.1 response after the other, or a refusal. No socket, no clock.

llhttp is strict here (none of its leniencies is on), and whatever would let two readers of the same bytes disagree is
refused: two lengths that differ, a length beside a transfer coding, folded headers, NUL, bare CR or LF, a space before a colon.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httptools

from pipeline.heads import ResponseHeaders
from pipeline.records import FaultCause

if TYPE_CHECKING:
    from pipeline.edges.http.endpoint import Caps

MAX_HEADERS = 256  # the most that any known provider sends is about 40
MAX_INTERIM = 16  # 100, 102 and 103 answers before the real one
TLS_ALERT = b"\x15\x03"  # how a TLS server answers plain HTTP

MOST_LENGTHS = 4  # fields of a head that say its length again; more are no gateway's doing, and each costs a look through the head

_SHORTEST = len(b"a:\r\n")
_LENGTH = b"\r\ncontent-length:"
_NO_HEADERS = ResponseHeaders()
_BODILESS = frozenset((204, 304))
_VERSIONS = frozenset(("1.0", "1.1"))


class MalformedResponseError(Exception):
    """The bytes are not a response, or one over the caps, or cut short; the connection is of no more use.

    cause: PROTOCOL, TOO_LARGE or CLOSED.
    """

    def __init__(self, message: str, cause: FaultCause = FaultCause.PROTOCOL) -> None:
        super().__init__(message)
        self.cause = cause


# Two fields that agree say one thing (RFC 9112, section 6.3), and some gateways add the second; llhttp refuses them all the same.
_SAME_LENGTH_AGAIN = re.compile(
    rb"(\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n(?:[^\r\n]+\r\n)*?)content-length:[ \t]*\2[ \t]*\r\n", re.IGNORECASE
)


class _Stop(Exception):  # noqa: N818  no error: the way to make llhttp stop reading
    """Nothing further is wanted of these bytes."""


class ResponseReader:
    """Reads the responses of one connection, each to its end; `begin` before each of them.

    complete: the response is whole. reusable (once complete): the connection may carry another request. started: at
    least one byte of it came. headers: trailers dropped; parsed when somebody asks. codings: content codings in the order they
    were applied. size: of the body so far, as framed. chunks: the body's pieces as framed, codings untouched; a streaming caller may
    take them away.
    surplus: what came behind the response in the same piece, as far as it can be told.
    """

    __slots__ = (
        "_caps", "_counted", "_due", "_headless", "_heads", "_interim", "_length", "_parser", "_quiet", "_received", "chunks", "codings",
        "complete", "head_complete", "headers", "on_body", "on_message_begin", "reusable", "size", "started", "status", "surplus",
        "until_end",
    )  # fmt: skip

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        # Two of what llhttp calls are functions in C, because one in Python costs more than the parsing. A message may begin while one
        # is due; else the pop raises IndexError, which makes llhttp stop. And a piece of a body is kept, and counted after the feed.
        self._due: list[None] = []
        self.on_message_begin = self._due.pop
        self.chunks: list[bytes] = []
        self.on_body = self.chunks.append
        # One parser for all responses of a connection: it starts over by itself, and sees bytes that nobody asked for.
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self, *, without_body: bool = False) -> None:
        """Expect the next response. without_body: the answer to a HEAD."""
        self._headless = without_body
        self.headers = _NO_HEADERS
        self.chunks.clear()
        if not self._due:
            self._due.append(None)
        self._heads: list[bytes] = []  # the pieces that came until the head was complete
        self._interim = self._received = self.size = self._quiet = self._counted = 0
        self._length = -1  # of the body, once somebody has asked for it
        self.codings: list[bytes] = []
        self.status = 0
        self.surplus = b""
        self.started = self.head_complete = self.complete = self.reusable = self.until_end = False

    def feed(self, data: bytes) -> None:
        """Read on; no bytes mean that the server has closed its side. Any split of the same bytes gives the same response.

        Raises MalformedResponseError; what comes after a complete response only makes the connection unusable.
        """
        if not data:
            self._end()
            return
        self.started = True
        if not self.head_complete:
            self._heads.append(data)
            self._received += len(data)
            over = self._received - self._caps.headers
            if over > 0:
                self._execute(data[:-over])
                if not self.head_complete:
                    raise MalformedResponseError(f"headers of more than {self._caps.headers} bytes", FaultCause.TOO_LARGE)
                data = data[-over:]
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserError as error:
                self._count()
                self._refuse_head(data, error)
            if len(self.chunks) == 1 and len(data) <= self._caps.body:  # nearly every answer is one piece
                self.size, self._counted = len(self.chunks[0]), 1
            else:
                self._count()
            return
        # Trailers and chunk extensions pile up inside the parser without an event, so silence has its cap as well.
        before = self.size
        self._execute(data)
        self._quiet = self._quiet + len(data) if self.size == before else 0
        if self._quiet > self._caps.headers and not self.complete:
            message = f"more than {self._caps.headers} bytes of trailers or chunk extensions"
            raise MalformedResponseError(message, FaultCause.TOO_LARGE)

    def left(self) -> int:
        """Bytes of a body that are still to come, where the head says how long it is; else 0."""
        if self._length < 0 and self.head_complete:
            coded = self.headers.first(b"transfer-encoding") is not None
            self._length = 0 if coded else int(self.headers.first(b"content-length") or 0)
        return 0 if self.complete else max(0, self._length - self.size)

    def take(self, data: bytes) -> None:
        """Read on as `feed` does, past the parser, which would only copy them: at most the bytes that are left, and then all of these."""
        if not data:
            self._end()
        self.chunks.append(data)
        self._count()
        if self.size == self._length:
            self.complete = True
            self._parser = httptools.HttpResponseParser(self)  # the old one still waits for what went past it

    def body(self) -> bytes:
        """The pieces that nobody took, in one."""
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    def take_chunks(self) -> list[bytes]:
        """The body's pieces since the last call; the caller then owns them. Take them after every `feed`, because there are many."""
        chunks = self.chunks[:]
        self.chunks.clear()
        self._counted = 0
        return chunks

    def _count(self) -> None:
        """Count the pieces that the last feed brought."""
        chunks = self.chunks
        for piece in chunks[self._counted :]:
            self.size += len(piece)
        self._counted = len(chunks)
        if self.size > self._caps.body:
            raise MalformedResponseError(f"a body of more than {self._caps.body} bytes", FaultCause.TOO_LARGE)

    def _end(self) -> None:
        if self.head_complete and self.until_end:
            self.complete = True
        elif not self.complete:
            where = "in its body" if self.head_complete else "in its headers" if self.started else "before it began"
            raise MalformedResponseError(f"the response was cut short {where}", FaultCause.CLOSED)

    def _refuse_head(self, data: bytes, error: httptools.HttpParserError) -> None:
        """The parser has refused a piece of a head, or what is behind it. A head that comes whole may say its length twice."""
        try:
            self._refuse(data, error)
        except MalformedResponseError:
            end = data.find(b"\r\n\r\n") + 2
            head = data[:end]
            if end < 2 or head.lower().count(b"content-length:") > MOST_LENGTHS:
                raise
            while (once := _SAME_LENGTH_AGAIN.sub(rb"\1", head)) != head:
                head = once
            if len(head) == end or self._received != len(data):
                raise
            self._parser = httptools.HttpResponseParser(self)
            self.begin(without_body=self._headless)
            self.started, self._received = True, len(data)
            self._heads.append(head + data[end:])
            self._execute(self._heads[0])

    def _execute(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._count()
            self._refuse(data, error)
        self._count()

    def _refuse(self, data: bytes, error: httptools.HttpParserError) -> None:
        """The parser has refused a piece. Raises MalformedResponseError, unless the response was whole before."""
        self.reusable = False
        if self.complete:
            self._keep_surplus(data)
            return
        ours = error.__context__
        if isinstance(ours, MalformedResponseError):  # raised in a callback, wrapped by httptools
            raise ours from None
        hint = "" if data[:2] != TLS_ALERT else "; the server seems to speak TLS there: is http:// in provider.base_url right?"
        raise MalformedResponseError(f"not HTTP/1.1: {error}{hint}") from None

    def _keep_surplus(self, data: bytes) -> None:
        """The bytes behind a response that came whole in one piece, with its length; in other cases nobody can tell where it ended."""
        head = data.find(b"\r\n\r\n")
        if self._received == len(data) and not self._interim and not self.until_end and head > 0:
            end = head + 4 + self.size
            if self.headers.first(b"transfer-encoding") is None:
                self.surplus = data[end:]

    # What llhttp calls. An exception here comes out of feed_data, wrapped.

    # There is no `on_header`: a call for each header costs more than the rest of a response. They are found in the head when asked for.

    def on_headers_complete(self) -> None:
        """The end of a head, interim or not."""
        parser = self._parser
        status = parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        # To be asked here: after the message it says False. It is False as well for versions that are not HTTP/1.
        self.reusable = parser.should_keep_alive()
        if not self.reusable and parser.get_http_version() not in _VERSIONS:
            raise MalformedResponseError(f"HTTP version {parser.get_http_version()}")
        self.status = status
        self.head_complete = True
        self._take_head()
        if self._headless:
            self.complete = True
            self.reusable = False  # llhttp would take the next response for the body
            raise _Stop

    def on_message_complete(self) -> None:
        """The end of a response, interim or not."""
        if self.status:
            self.complete = True

    def _skip_interim(self, status: int) -> None:
        self._interim += 1
        if status == 101 or status < 100:
            raise MalformedResponseError(f"status {status}, which nothing asked for")
        if self._interim > MAX_INTERIM:
            raise MalformedResponseError(f"more than {MAX_INTERIM} interim responses")
        self._due.append(None)  # and so is the real one

    def _take_head(self) -> None:
        """Cut the head out of what came, behind those of interim responses, and learn from it how the body is framed.

        llhttp has checked that every line of it ends with CRLF. Line breaks may come before a head, and nothing else.
        """
        raw = self._heads[0] if len(self._heads) == 1 else b"".join(self._heads)
        self._heads.clear()
        start = 0 if raw[:5] == b"HTTP/" else raw.find(b"HTTP/")
        for _ in range(self._interim):
            start = raw.find(b"HTTP/", raw.find(b"\r\n\r\n", start))
        end = raw.find(b"\r\n\r\n", start) + 2
        head = raw[start:end]
        if len(head) > MAX_HEADERS * _SHORTEST and head.count(b"\n") > MAX_HEADERS + 1:
            raise MalformedResponseError(f"more than {MAX_HEADERS} headers", FaultCause.TOO_LARGE)
        lower = head.lower()
        self.headers = ResponseHeaders(head, lower)
        if lower.count(_LENGTH) != 1 or b"-encoding:" in lower:  # most answers have a length and are not coded
            self._frame()

    def _frame(self) -> None:
        headers = self.headers
        for value in headers.every(b"content-encoding"):
            self.codings += [coding.strip() for coding in value.lower().split(b",")]
        lengths, chunked = headers.every(b"content-length"), headers.every(b"transfer-encoding")
        if len(lengths) + len(chunked) > 1 or any(value.lower() != b"chunked" for value in chunked):
            raise MalformedResponseError(f"framing by content-length {lengths!r} and transfer-encoding {chunked!r}")
        self.until_end = not (lengths or chunked) and self.status not in _BODILESS

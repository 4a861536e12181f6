"""The records that pass between stages: plain values, no behaviour, nothing that touches the world.

Several of these are made for each row, so they are msgspec structs: one is made in 0.08 µs where attrs takes 0.5, and its class in
12 µs where attrs takes 400, which every start pays. `Job`, `Ticket` and `Report` are not frozen, because their makers fill them in;
nobody may write to one after it was sent.
"""

from __future__ import annotations

from enum import Enum
from importlib import import_module
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from msgspec.structs import astuple

from pipeline.heads import ResponseHeaders
from pipeline.values import AttrsFields, Record

if TYPE_CHECKING:
    from collections.abc import Sequence


class FailureKind(Enum):
    """Why an attempt or a row failed; the value is the `error.code` that is written where there is no HTTP response."""

    INVALID_ROW = "invalid_row"  # never sent: the row itself is wrong
    TOO_LARGE = "too_large"  # never sent: over a token budget that it could never pass
    TIMEOUT = "timeout"  # connect, idle or total deadline
    CONNECTION = "connection"  # refused, reset, closed early, name not found, TLS refused
    MALFORMED_RESPONSE = "malformed_response"  # not HTTP, not JSON, cut short, or over the size caps
    RETRIES_EXHAUSTED = "retries_exhausted"  # attempts ran out on a transient HTTP failure
    HTTP = "http_error"  # the provider answered with a failure that is the row's own
    REFUSED = "refused"  # 401, 402, 403: the key's fault if it gets nothing else, the row's otherwise
    UNEXPECTED_ANSWER = "unexpected_answer"  # the answer is not what `answers.expect` asks for
    TRUNCATED = "truncated"  # the answer was cut at its length limit
    CONTENT_FILTER = "content_filter"  # the provider's filter stopped the answer
    EMPTY_ANSWER = "empty_answer"  # there is no content in the answer
    DECLINED = "declined"  # the model declined to answer
    CANCELLED = "batch_cancelled"  # never sent: its batch was cancelled (`headrace serve`)
    EXPIRED = "batch_expired"  # never sent: its batch has expired (`headrace serve`)
    QUOTA = "quota_exhausted"  # the account has no money or quota left: no later row can pass


class FaultCause(Enum):
    """What went wrong on the way, as far as the transport knows; what follows from it is decided elsewhere."""

    REFUSED = "refused"  # nobody listens at this address, or the Unix socket does not exist
    UNREACHABLE = "unreachable"  # no route to the host, or this machine has no socket left to open
    DNS = "dns"  # the name could not be looked up: it does not exist, or the resolver is out of reach
    TLS = "tls"  # the server's certificate does not verify
    TLS_OTHER = "tls_other"  # any other failure of a TLS handshake
    PROXY = "proxy"  # the proxy is out of reach, or could not open a tunnel
    PROXY_AUTH = "proxy_auth"  # the proxy wants credentials (407)
    CONNECT_TIMEOUT = "connect_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    STALL_TIMEOUT = "stall_timeout"  # a stream that says nothing any more, or whose first token takes too long
    CLOSED = "closed"  # reset, or closed before the response was whole
    PROTOCOL = "protocol"  # the bytes are not an HTTP response, or its content coding is broken
    TOO_LARGE = "too_large"  # over a size cap
    FILE = "file"  # a file that the request carries cannot be read, or has changed
    NOT_LEFT = "not_left"  # this process lost its share of the limits before the request could leave


class Transport(Enum):
    """Who speaks HTTP: headrace itself, or httpx (which knows proxies), with a client for each worker."""

    OWN = "own"
    HTTPX = "httpx"


class Scope(Enum):
    """Whom a failure concerns.

    ROW: this row's own. THROTTLE: slow down. PARALLEL: too many at once: fewer in flight, but no pause. SERVER: others
    probably meet it too. KEY: the key is refused. QUOTA: the account has nothing left. SETUP: cannot pass by waiting.
    """

    ROW = "row"
    THROTTLE = "throttle"
    PARALLEL = "parallel"
    SERVER = "server"
    KEY = "key"
    QUOTA = "quota"
    SETUP = "setup"


class FileFound(Struct, frozen=True):
    """A file that a request carries. path: as its row has it, within the folder that the config names. mime: by its first bytes."""

    path: str
    size: int
    mtime_ns: int
    mime: str


class Attachment(Struct, frozen=True):
    """A file of one request. marker: where in the body it goes. conversion: how, see `core/rows/attached`."""

    marker: bytes
    conversion: str
    file: FileFound


class Job(Struct, eq=False, gc=False):
    """A row made ready to send.

    index: 0-based place in the input, blank lines not counted. line: 1-based line in the source, for messages.
    url: path (and query) that starts with "/". body: encoded JSON. tokens: estimated cost of one attempt; output_tokens: the part of
    it that is the longest answer that the body allows. streams: it asks for its answer as a stream. model: that it asks for, "" if
    it names none.
    """

    index: int
    custom_id: str
    method: str
    url: str
    body: bytes
    tokens: int
    line: int
    output_tokens: int = 0
    streams: bool = False
    files: tuple[Attachment, ...] = ()
    model: str = ""

    __attrs_attrs__: ClassVar[Any] = AttrsFields()


class Arrival(Struct, frozen=True, eq=False, gc=False):
    """How a streamed answer arrived.

    first_token_at: clock when the first part of the answer came, None if none did. longest_gap: seconds between two events after it;
    comments and pings are none. cut: why the answer is not whole, where the transport put it together and it is not.
    """

    first_token_at: float | None = None
    longest_gap: float = 0.0
    cut: str | None = None


class Answer(Struct, frozen=True, eq=False, gc=False):
    """A complete HTTP response, whatever its status.

    headers: as they came, names in lower case. body: content-decoded. sent_at: clock of the event loop, in
    seconds, when the last byte of the request left; None where the transport cannot tell. arrival: of an answer that came as a stream.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    sent_at: float | None = None
    arrival: Arrival | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header (name in lower case), or None."""
        headers = self.headers
        if type(headers) is ResponseHeaders:
            return headers.first(name)
        for key, value in headers:
            if key == name:
                return value
        return None


class Fault(Struct, frozen=True, eq=False, gc=False):
    """An attempt that brought no complete HTTP response.

    kind: TIMEOUT, CONNECTION or MALFORMED_RESPONSE. message: one line for people, with the host and what to do about it.
    maybe_sent: the server may have seen the whole request, so the provider may have done (and billed) the work.
    permanent: another attempt would end the same way.
    """

    kind: FailureKind
    message: str
    maybe_sent: bool
    cause: FaultCause
    sent_at: float | None = None
    permanent: bool = False


class Usage(Struct, frozen=True, gc=False):
    """Tokens that a provider says it counted; 0 where it did not say.

    prompt_tokens includes those read from a cache (cached_tokens) and written to one (cache_write_tokens), of which some are to stay
    there for an hour (cache_write_hour_tokens); output_tokens includes those of reasoning (reasoning_tokens).
    """

    prompt_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_hour_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        """The tokens of two answers together."""
        if other is NO_USAGE or self is NO_USAGE:
            return self if other is NO_USAGE else other
        return Usage(*map(add, astuple(self), astuple(other)))


NO_USAGE = Usage()


OF_A_RESPONSE = frozenset({FailureKind.HTTP, FailureKind.REFUSED, FailureKind.QUOTA})  # failures of which the status says it all
SHOWN = 60  # characters of a content or message in a repr


class Success(Record, frozen=True, eq=False, gc=False):
    """A row's answer.

    body: the provider's JSON exactly as it came, but without line breaks. usage: what this answer cost. attempts: 0 for an
    answer that was there already: from the cache, or of an identical row; then it cost nothing. finish_reason: why it ended, in
    OpenAI's words. rejected, wasted: earlier answers to this row that were none, and their tokens. lane: the name of the one that
    answered, "" where there is only one. first_token_seconds: from the start of the attempt to the first token of a streamed answer;
    longest_gap_seconds: between two of its events after that; None where it did not come as a stream.
    """

    index: int
    custom_id: str
    status_code: int
    request_id: str | None
    body: bytes
    usage: Usage
    attempts: int
    latency_seconds: float
    finish_reason: str | None = None
    rejected: int = 0
    wasted: Usage = NO_USAGE
    lane: str = ""
    first_token_seconds: float | None = None
    longest_gap_seconds: float | None = None

    ok: ClassVar[bool] = True
    error: ClassVar[str | None] = None
    error_code: ClassVar[str | None] = None

    @property
    def content(self) -> Any:
        """The answer's text or what stands for it, as `pipeline.content_of` gives it."""
        # What a reply says is known in core, which stands above this module; the import waits until somebody asks.
        return import_module("pipeline.core.answers.content").content_of(self)

    def __repr__(self) -> str:
        """In a few words, without the body."""
        return f"<Success {self.index} {self.custom_id!r}: {_short(self.content)}>"


class Failure(Record, frozen=True, eq=False, gc=False):
    """A row's failure: its final result.

    status_code, body, request_id: the HTTP response, where there was one; body is JSON without line breaks.
    attempts: 0 for a row that was never sent. rejected, wasted: answers to this row that were none, and their tokens.
    lane: as in `Success`, of the last attempt.
    """

    index: int
    custom_id: str
    kind: FailureKind
    message: str
    status_code: int | None = None
    request_id: str | None = None
    body: bytes | None = None
    attempts: int = 0
    latency_seconds: float = 0.0
    rejected: int = 0
    wasted: Usage = NO_USAGE
    lane: str = ""

    ok: ClassVar[bool] = False
    content: ClassVar[None] = None

    @property
    def error_code(self) -> str:
        """What failures are counted by: the kind, or `http_400` where the response says it all."""
        status = self.status_code
        return f"http_{status}" if status is not None and self.kind in OF_A_RESPONSE else self.kind.value

    @property
    def error(self) -> str:
        """The code and the message."""
        return f"{self.error_code}: {self.message}"

    def __repr__(self) -> str:
        """In a few words, without the body."""
        return f"<Failure {self.index} {self.custom_id!r}: {_short(self.error)}>"


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"


Outcome = Success | Failure

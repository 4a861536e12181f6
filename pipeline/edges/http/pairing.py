"""Notices when the responses on a connection no longer belong to its requests. No socket, no clock: the sender asks here.

Theory of operation. HTTP/1.1 numbers nothing: the first response belongs to the first request, and so on. A relay that answers
one request twice shifts everything behind it by one: the second copy is read as the answer to the next request, whose own answer
is read as the answer to the one after it, and every answer looks perfect. No client can prevent this from HTTP alone. What it
can do is look for evidence, bound the harm, and say so:

1. Bytes that come while nothing was asked for. They are looked for before every request, and in a rest: for a moment the
   connection is not used, although it could be. A connection rests after every 256 requests or ten seconds, whichever is later,
   and whenever there is a reason for doubt (2). A silent rest that lasts longer than answers take means that nothing is on its
   way, so all earlier answers were right: the connection is known to be clean.
2. A repeat: a body of the same length and beginning as one of the last two on this connection, for another request. Answers of language
   models hold an id of their own, so this is what a second copy looks like. It is believed only after a silent rest. Where a
   provider repeats itself all the time this says nothing, so it is no longer looked at.
3. The id of the request, where a provider echoes the `X-Client-Request-Id` that every attempt carries.

The first answer on a connection is always right. So once an endpoint was caught, every connection carries one request only, for
the rest of the run, and what arrives on a connection that was used before is not believed.
"""

from __future__ import annotations

import logging
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from pipeline.edges.http.endpoint import Caps
from pipeline.edges.http.response import MalformedResponseError, ResponseReader
from pipeline.heads import ResponseHeaders

if TYPE_CHECKING:
    from collections.abc import Sequence

REST_EVERY = 256  # requests: a rest of three mean answers then costs about 1 % of what a connection can carry
REST_EVERY_SECONDS = 10.0  # and so long: with answers of milliseconds, rests would keep workers from waking up together
ASK_AGAIN = 64
REST_MEANS = 3.0  # a rest lasts this many times as long as a mean answer takes
LEAST_REST_SECONDS, MOST_REST_SECONDS = 0.02, 30.0
FREE_REPEATS = 8  # after this many, repeats are counted against the number of answers
REPEATS_PER_ANSWER = 1 / 64  # of a provider whose answers repeat more often than this, they say nothing
REMEMBERED_IDS = 64
UNLIMITED = 1 << 62

HEAD_BYTES = 128
MEAN_WEIGHT = 1 / 16  # of the newest answer in the mean
_CAPS = Caps()

_log = logging.getLogger(__name__)


class Doubt(Enum):
    """Why an answer is not believed at once."""

    LOOK = auto()  # there is something to look at, and no rest is needed
    REST_IS_DUE = auto()
    REPEAT = auto()


class Trust:
    """What is known of an endpoint, for all its connections.

    max_requests: what a connection may carry. echo: the header in which the provider sends our request id back, once known.
    broken: an answer came that nobody had asked for. alert: every answer is looked at.
    """

    __slots__ = ("_answers", "_mean_seconds", "_repeats", "_samples", "alert", "broken", "echo", "max_requests")

    def __init__(self, max_requests: int | None = None) -> None:
        self.max_requests = UNLIMITED if max_requests is None else max_requests
        self.echo: bytes | None = None
        self.alert = self.broken = False
        self._answers = self._repeats = self._samples = 0
        self._mean_seconds = 0.0

    @property
    def rest_seconds(self) -> float:
        """How long a connection must be silent to be known as clean."""
        return min(max(LEAST_REST_SECONDS, REST_MEANS * self._mean_seconds), MOST_REST_SECONDS)

    def took(self, seconds: float) -> None:
        """Note how long an answer took. A sample of them will do."""
        self._samples += 1
        self._mean_seconds += (seconds - self._mean_seconds) * max(MEAN_WEIGHT, 1 / self._samples)

    def count(self, answers: int) -> None:
        """Note that this many more answers came."""
        self._answers += answers

    def minds_repeat(self) -> bool:
        """Whether a repeat is a reason for doubt; counts it."""
        self._repeats += 1
        return self._repeats <= FREE_REPEATS + self._answers * REPEATS_PER_ANSWER

    def lose(self, message: str, rows: Sequence[str] = ()) -> None:
        """Warn of an answer that nobody had asked for. rows: ids of those that may hold another row's answer."""
        advice = f"; these rows may hold another row's answer, so check them or send them again: {', '.join(rows)}" if rows else ""
        change = "" if self.broken else "; from now on every connection carries one request only"
        _log.warning("%s%s%s", message, advice, change)
        self.alert = self.broken = True
        self.max_requests = 1


class Pairing:
    """What one connection has carried.

    last, before: fingerprints of the last body and of the one before it. rows: ids of what was asked since the connection was last
    known to be clean, the present request included. room: how many of them there may be before somebody must look. Whoever sends
    keeps these up: nearly all answers cost nothing else, and the methods are called where there is a reason.
    """

    __slots__ = ("_carried", "_clean_at", "_ids", "_trust", "before", "last", "room", "rows")

    def __init__(self, trust: Trust, now: float) -> None:
        self.last = self.before = 0
        self.rows: list[str] = []
        self._trust = trust
        self._carried = 0  # requests before those in `rows`
        self._clean_at = now  # clock
        self._ids: deque[bytes] | None = None  # of its last requests, where they are echoed
        self.room = min(REST_EVERY, trust.max_requests)

    @property
    def is_spent(self) -> bool:
        """Whether the connection has carried all that it may."""
        return self._requests >= self._trust.max_requests

    @property
    def has_carried(self) -> bool:
        """Whether the connection was used at all."""
        return self._requests > 0

    def rest_is_due(self, now: float) -> bool:
        """Whether the connection has carried so much that it must rest. Where not, `room` says when to ask again."""
        if len(self.rows) >= REST_EVERY and now - self._clean_at >= REST_EVERY_SECONDS:
            return True
        self.room = min(max(REST_EVERY, len(self.rows) + ASK_AGAIN), self._trust.max_requests - self._carried)
        return False

    @property
    def doubts_all(self) -> bool:
        """Whether no answer of this connection can be believed any more: it was in use when the endpoint was caught."""
        return self._trust.broken and self._requests > 1

    def note_clean(self, now: float) -> None:
        """Note that the connection was silent for long enough: all answers on it were right."""
        self._trust.count(len(self.rows))
        self._carried = self._requests
        self._clean_at = now
        self.rows.clear()
        self.room = max(1, min(REST_EVERY, self._trust.max_requests - self._carried))

    def echoes_another(self, headers: Sequence[tuple[bytes, bytes]], client_request_id: str) -> bool:
        """Whether a response carries the id of another request of this connection."""
        trust, own = self._trust, client_request_id.encode()
        if trust.echo is None:
            if self._requests > 1:
                return False  # its first answer had no echo
            if isinstance(headers, ResponseHeaders) and not headers.mention(own.lower()):
                return False  # so they need not be parsed
            trust.echo = next((name for name, value in headers if value == own), None)
            if trust.echo is None:
                return False
            trust.alert = True
        if self._ids is None:
            self._ids = deque(maxlen=REMEMBERED_IDS)
        foreign = any(name == trust.echo and value != own and value in self._ids for name, value in headers)
        self._ids.append(own)
        return foreign

    def judge(self, surplus: bytes, address: str, doubt: Doubt | None = None) -> bool:
        """Judge bytes that nobody had asked for, and warn if they are an answer; whether the answer before them is right.

        doubt: why that answer is not yet believed; its row is sent again then, and so it is not among those that are warned of.
        """
        body = answer_in(surplus)
        if body is None:
            return doubt is not Doubt.REPEAT
        if doubt is Doubt.REPEAT:
            self._trust.lose(f"{address} answered a request twice, and the second answer came for another row, which is sent again")
            return False
        if self._requests <= 1 or (body and fingerprint(body) == self.last):
            self._trust.lose(f"{address} answered a request twice; the connection was dropped before the second answer did any harm")
            return True
        rows = self.rows if doubt is None else self.rows[:-1]
        self._trust.lose(f"{address} sent an answer that nobody had asked for, after {self._requests} requests on its connection", rows)
        return False

    @property
    def _requests(self) -> int:
        return self._carried + len(self.rows)


def out_of_step(address: str) -> str:
    """Why an answer was not believed."""
    return f"the answer from {address} may be another row's: its connection had lost step"


def fingerprint(body: bytes) -> int:
    """What a second copy has in common with the first: its length and how it begins, which is where answers have their id or text."""
    return hash(body[:HEAD_BYTES]) ^ len(body)


def answer_in(surplus: bytes) -> bytes | None:
    """The body of a successful answer in bytes that nobody had asked for, empty if it is not all there; None if it is not one.

    A server that closes an idle connection may send a 408 or another failure first, and some send line breaks: no harm is in that.
    """
    reader = ResponseReader(_CAPS)
    try:
        reader.feed(surplus)
    except MalformedResponseError:
        return None
    if reader.head_complete:
        if not 200 <= reader.status < 300:
            return None
        return reader.body() if reader.complete else b""
    return b"" if surplus.lstrip(b"\r\n").startswith(b"HTTP/1.") else None

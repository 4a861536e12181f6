"""Notices when the responses on a connection no longer belong to its requests. No socket, no clock: whoever sends asks here.

Theory of operation. HTTP/1.1 numbers nothing: the first response belongs to the first request, and so on. A relay that answers
one request twice shifts everything behind it by one: the second copy is read as the answer to the next request, whose own answer
is read as the answer to the one after it, and every answer looks perfect. No client can prevent this from HTTP alone. What it
can do is look for evidence, bound the harm, and say so:

1. Bytes that come while nothing was asked for. They are looked for before every request, and in a rest: for a moment the
   connection is not used, although it could be. A connection rests after every REST_EVERY requests, unless it was idle for long
   enough anyway, and whenever there is a reason for doubt (2). A silent rest that lasts longer than answers take means that
   nothing is on its way, so all earlier answers were right: the connection is known to be clean.
2. A repeat: a body that is the same, byte for byte, as a recent one on this connection, for another request. Answers of language
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.edges.http.response import Headers

REST_EVERY = 256  # requests: a rest of two mean answers then costs less than 1 % of what a connection can carry
REST_MEANS = 3.0  # a rest lasts so many times as long as a mean answer takes
LEAST_REST_SECONDS, MOST_REST_SECONDS = 0.02, 30.0
FREE_REPEATS = 8  # after so many, repeats are counted against the number of answers
REPEATS_PER_ANSWER = 1 / 64  # of a provider whose answers repeat more often than this, they say nothing
GENERATION = 16  # answers: a repeat of one of the last 16 to 32 is noticed
REMEMBERED = 64  # rows that can be named in a warning, for each connection
UNLIMITED = 1 << 62

SAMPLE_MASK = 7  # of the answers on a connection, every eighth is timed
MEAN_WEIGHT = 1 / 16  # of the newest answer in the mean
WHOLE_BYTES, END_BYTES = 1024, 512  # of a body that the fingerprint is made of: whole, or both ends
_CAPS = Caps()

_log = logging.getLogger(__name__)


class Doubt(Enum):
    """Why a connection must rest before its last answer is believed."""

    REST_IS_DUE = auto()
    REPEAT = auto()


class Trust:
    """What is known of an endpoint, for all its connections.

    max_requests: what a connection may carry. answers: successful ones so far. echo: the header in which the provider sends our
    request id back, once known.
    broken: an answer came that nobody had asked for.
    """

    __slots__ = ("_mean_seconds", "_repeats", "_samples", "answers", "broken", "echo", "max_requests")

    def __init__(self, max_requests: int | None = None) -> None:
        self.max_requests = UNLIMITED if max_requests is None else max_requests
        self.echo: bytes | None = None
        self.broken = False
        self.answers = self._repeats = self._samples = 0
        self._mean_seconds = 0.0

    @property
    def rest_seconds(self) -> float:
        """How long a connection must be silent to be known as clean."""
        return min(max(LEAST_REST_SECONDS, REST_MEANS * self._mean_seconds), MOST_REST_SECONDS)

    def took(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._samples += 1
        self._mean_seconds += (seconds - self._mean_seconds) * max(MEAN_WEIGHT, 1 / self._samples)

    def minds_repeat(self) -> bool:
        """Whether a repeat is a reason for doubt; counts it."""
        self._repeats += 1
        return self._repeats <= FREE_REPEATS + self.answers * REPEATS_PER_ANSWER

    def lose(self, message: str, rows: Sequence[str] = ()) -> None:
        """Warn of an answer that nobody had asked for. rows: ids of those that may hold another row's answer."""
        advice = f"; these rows may hold another row's answer, so check them or send them again: {', '.join(rows)}" if rows else ""
        change = "" if self.broken else "; from now on every connection carries one request only"
        _log.warning("%s%s%s", message, advice, change)
        self.broken = True
        self.max_requests = 1


class Pairing:
    """What one connection has carried. requests: so far, the present one included. rested_at: clock at the last successful answer."""

    __slots__ = ("_ids", "_last", "_older", "_recent", "_rest_at", "_rows", "_trust", "requests", "rested_at")

    def __init__(self, trust: Trust) -> None:
        self.requests = 0
        self.rested_at = 0.0
        self._trust = trust
        self._rest_at = REST_EVERY
        self._rows: deque[str] = deque(maxlen=REMEMBERED)  # answered since the connection was known to be clean
        self._ids: deque[bytes] = deque(maxlen=REMEMBERED)
        self._recent: set[int] = set()
        self._older: set[int] = set()
        self._last = 0

    def note(self, custom_id: str, body: bytes, asked_at: float, now: float) -> Doubt | None:
        """Note a successful answer. None: it can be believed at once."""
        trust, requests, recent = self._trust, self.requests, self._recent
        self.rested_at = now
        self._rows.append(custom_id)
        trust.answers += 1
        if requests & SAMPLE_MASK == 1:
            trust.took(now - asked_at)
        key = self._last = hash(body) if len(body) <= WHOLE_BYTES else fingerprint(body)
        if key in recent or key in self._older:
            if trust.minds_repeat():
                return Doubt.REPEAT
        elif len(recent) < GENERATION:
            recent.add(key)
        else:
            self._older, self._recent = recent, {key}
        return Doubt.REST_IS_DUE if requests >= self._rest_at else None

    def is_spent(self) -> bool:
        """Whether the connection has carried all that it may."""
        return self.requests >= self._trust.max_requests

    def note_idle(self, now: float) -> None:
        """Note that nothing has come since the last answer, just before the connection is used again."""
        idle = now - self.rested_at
        if idle > LEAST_REST_SECONDS and idle > self._trust.rest_seconds:
            self.note_clean()

    def note_clean(self) -> None:
        """Note that the connection was silent for long enough: all answers on it were right."""
        self._rows.clear()
        self._rest_at = self.requests + REST_EVERY

    def echoes_another(self, headers: Headers, client_request_id: str) -> bool:
        """Whether a response carries the id of another request of this connection. Call it before `note`."""
        trust, own = self._trust, client_request_id.encode()
        if trust.echo is None:
            if self.requests > 1:
                return False  # its first answer had no echo
            trust.echo = next((name for name, value in headers if value == own), None)
            if trust.echo is None:
                return False
        foreign = any(name == trust.echo and value != own and value in self._ids for name, value in headers)
        self._ids.append(own)
        return foreign

    def doubts_all(self) -> bool:
        """Whether no answer of this connection can be believed any more: it was in use when the endpoint was caught."""
        return self._trust.broken and self.requests > 1

    def judge(self, surplus: bytes, address: str, doubt: Doubt | None = None) -> bool:
        """Judge bytes that nobody had asked for, and warn if they are an answer; whether the answer before them is right.

        doubt: why that answer is not yet believed; its row is not among those that are warned of then.
        """
        key = answer_in(surplus)
        if key is None:
            return doubt is not Doubt.REPEAT
        in_step = self.requests <= 1 or key == self._last
        if doubt is Doubt.REPEAT:
            self._trust.lose(f"{address} answered a request twice, and the second answer came for another row, which is sent again")
            return False
        if in_step:
            self._trust.lose(f"{address} answered a request twice; the connection was dropped before the second answer did any harm")
            return True
        rows = list(self._rows) if doubt is None else list(self._rows)[:-1]
        self._trust.lose(f"{address} sent an answer that nobody had asked for, after {self.requests} requests on its connection", rows)
        return False


def out_of_step(address: str) -> str:
    """Why an answer was not believed."""
    return f"the answer from {address} may be another row's: its connection had lost step"


def fingerprint(body: bytes) -> int:
    """A number that two different bodies do not share, for all practical purposes. Of a long one only both ends are looked at."""
    if len(body) <= WHOLE_BYTES:
        return hash(body)
    return hash((len(body), body[:END_BYTES], body[-END_BYTES:]))


def answer_in(surplus: bytes) -> int | None:
    """The fingerprint of a successful answer in bytes that nobody had asked for, 0 if it is not all there; None if it is no such.

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
        return fingerprint(reader.body()) if reader.complete else 0
    return 0 if surplus.lstrip(b"\r\n").startswith(b"HTTP/1.") else None

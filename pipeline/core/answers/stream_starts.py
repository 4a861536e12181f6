"""How a streamed body begins. What reads it is imported when the first one comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.heads import ResponseHeaders
from pipeline.records import Arrival

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.core.answers.streamed_body import StreamedBody

BOM = b"\xef\xbb\xbf"
TYPES = (b"text/event-stream", b"application/x-ndjson")
STARTS = (b"data:", b"event:", b":", b"id:", b"retry:")  # of an event stream, whatever its type says (servers get it wrong)


def may_stream(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool | None:
    """Whether a body is a stream by its headers; False if only its beginning can tell, None for a failure, which is kept as it comes."""
    if not 200 <= status < 300:
        return None
    if isinstance(headers, ResponseHeaders):
        types = headers.every(b"content-type")
    else:
        types = [value for name, value in headers if name == b"content-type"]
    return any(value.lower().startswith(TYPES) for value in types)


def begins_as_stream(piece: bytes) -> bool:
    """Whether the first piece of a body looks like an event stream."""
    return piece.removeprefix(BOM).startswith(STARTS)


def arrived_at_once(body: bytes, now: float) -> Arrival | None:
    """How a body arrived that came in one piece; None if it is not a stream."""
    if not begins_as_stream(body):
        return None
    from pipeline.core.answers.assemble import says_a_token  # noqa: PLC0415  4 ms that a run without streams does not pay

    return Arrival(now if says_a_token(body) else None)


def open_streamed_body(now: float) -> StreamedBody:
    """Take in one streamed body that begins now."""
    from pipeline.core.answers.streamed_body import StreamedBody  # noqa: PLC0415  as above

    return StreamedBody(now)

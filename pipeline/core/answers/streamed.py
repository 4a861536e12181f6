"""What becomes of a streamed answer."""

from __future__ import annotations

from msgspec import Struct

NO_JSON = "not JSON"


class Whole(Struct, frozen=True, gc=False):
    """The answer came to its end. body: the JSON object that would have come without a stream."""

    body: bytes


class Cut(Struct, frozen=True, gc=False):
    """The stream ended before the answer did. body: as much of the object as came, or None."""

    reason: str
    body: bytes | None = None


class Refused(Struct, frozen=True, gc=False):
    """The stream told an error. body: the error as JSON."""

    body: bytes


Streamed = Whole | Cut | Refused

"""What a reply can mean for its row: a result, or trouble. Values only; `classify` finds out which of them it is."""

from __future__ import annotations

import msgspec

from pipeline.records import NO_USAGE, FailureKind, Scope, Usage

OK, REDIRECT = 200, 300
# From here on an answer is read in a thread, because reading may take 20 ms: an object is mended at up to 100 ns a byte, and a stream is
# put together at 8 µs an event, where it is odd in every place.
LARGE_BYTES, LARGE_STREAM_BYTES = 250_000, 100_000
APART_BYTES = (
    8 << 20
)  # from here on in another process (`pipeline.apart`): one call over 8 MB takes 30 ms, and 20 ms the way there and back


class Result(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A row's answer. body: JSON without line breaks. finish_reason: why it ended, in OpenAI's words."""

    body: bytes
    usage: Usage
    finish_reason: str | None = None


class Trouble(msgspec.Struct, eq=False, gc=False):
    """Why an attempt brought no result.

    scope: whom it concerns. retryable: another attempt of this row may succeed. throttled: the provider asks everybody to
    slow down. rate_limited: it does so because of a rate limit, and would have answered a slower client. unreachable: no
    server had a part in it. wait_seconds: the least wait that the provider asks for, however long, or None; it holds for
    everybody if `throttled`, even where this row is not to be sent again. body: JSON without line breaks. bought: an answer
    came that is none, although the provider says of no error; it may be billed, and so may be asked for once more only.
    usage: the tokens that a rejected answer cost. cut: checksum of a stream that broke off, which passes like a lost connection
    does unless the same bytes come again; 0 for all else.
    """

    kind: FailureKind
    message: str
    retryable: bool
    scope: Scope = Scope.ROW
    throttled: bool = False
    rate_limited: bool = False
    unreachable: bool = False
    wait_seconds: float | None = None
    status_code: int | None = None
    body: bytes | None = None
    bought: bool = False
    usage: Usage = NO_USAGE
    cut: int = 0


class CheckError(Exception):
    """The user's own check raised something that is not a verdict: it is at fault, not the answer."""

"""What an HTTP response means for its row: a result, a failure that a retry may mend, or one that it cannot.

Reads status, headers and body; decides nothing about attempts or time (see `retry`).
Source: OpenAI SDK `_base_client.py` (`_should_retry`), its users' reports, provider references.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from pipeline.records import NO_USAGE, Answer, FailureKind, Fault, Usage

OK = 200
REDIRECT = 300
BAD_REQUEST = 400
SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429
OVERLOADED = 529  # Anthropic
UNAVAILABLE = 503

TRANSIENT_STATUSES = frozenset({408, 409, 425, TOO_MANY_REQUESTS})
REFUSAL_STATUSES = frozenset({401, 402, 403})
# A 503 or 529 is not the row's doing: like a 429 its Retry-After holds for everybody.
THROTTLE_STATUSES = frozenset({TOO_MANY_REQUESTS, UNAVAILABLE, OVERLOADED})

# A 429 with one of these never passes: retrying burns hours (langchainjs#1929, qwen-code#7841).
QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    },
)
RATE_LIMIT_CODES = frozenset({"rate_limit", "rate_limit_exceeded", "rate_limit_error", "too_many_requests"})
REQUEST_ERROR_CODES = frozenset({"invalid_request_error", "invalid_request", "bad_request", "context_length_exceeded"})

MAX_TEXT = 65_536  # characters kept of a failure's body that is not JSON; more says nothing and costs disk
EXCERPT = 200  # characters of a body in a message

_BOM = b"\xef\xbb\xbf"


class Result(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A row's answer. body: JSON without line breaks."""

    body: bytes
    usage: Usage


class Trouble(msgspec.Struct, eq=False, gc=False):
    """Why an attempt brought no result.

    retryable: another attempt may succeed. throttled: the provider asks everybody to slow down. rate_limited: it does so
    because of a rate limit, and would have answered a slower client. unreachable: no server had a part in it.
    wait_seconds: the least wait that the provider asks for, or None. body: JSON without line breaks.
    """

    kind: FailureKind
    message: str
    retryable: bool
    throttled: bool = False
    rate_limited: bool = False
    unreachable: bool = False
    wait_seconds: float | None = None
    status_code: int | None = None
    body: bytes | None = None


MAX_TOKENS = 100_000_000  # no model reads or writes so much at once: beyond it, as below 0, stands a mistake and no count
_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]


class _Usage(msgspec.Struct):
    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    input_tokens: _Count | None = None  # the Responses API and Anthropic
    output_tokens: _Count | None = None
    total_tokens: _Count | None = None


class _Reply(msgspec.Struct):
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_any = msgspec.json.Decoder().decode
_NOT_AN_ERROR = frozenset({b"null", b"false", b"{}", b'""', b"[]"})


def classify(answer: Answer, *, now_utc: float) -> Result | Trouble:
    """What a complete HTTP response means for its row.

    now_utc: seconds since the epoch, for a Retry-After that is a date.
    """
    status = answer.status
    if OK <= status < REDIRECT:
        return _read_result(answer, now_utc)
    return _read_failure(answer, status, one_line(answer.body), now_utc)


def classify_fault(fault: Fault) -> Trouble:
    """What an attempt without a response means for its row: all but a permanent fault may pass."""
    return Trouble(fault.kind, fault.message, retryable=not fault.permanent, unreachable=not (fault.maybe_sent or fault.permanent))


def one_line(body: bytes) -> bytes | None:
    """A JSON text on one line, or None if it is no JSON.

    Lossless: a raw line break can stand only between JSON's tokens.
    """
    body = body.removeprefix(_BOM)
    try:
        body.decode()  # a decoder that skips a string does not look at its bytes
        _decode_any(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _join_lines(body)


def _join_lines(body: bytes) -> bytes:
    return body.replace(b"\n", b" ").replace(b"\r", b" ")


def _read_result(answer: Answer, now_utc: float) -> Result | Trouble:
    body = answer.body.removeprefix(_BOM)
    try:
        body.decode()
        reply = _decode_reply(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_unusual(answer, now_utc)
    if bytes(reply.error) not in _NOT_AN_ERROR:
        return _error_in_success(answer, body, now_utc)
    return Result(_join_lines(body), _usage(reply.usage))


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return NO_USAGE
    prompt = usage.prompt_tokens or usage.input_tokens or 0
    output = usage.completion_tokens or usage.output_tokens or 0
    return Usage(prompt, output, usage.total_tokens or prompt + output)


def _read_unusual(answer: Answer, now_utc: float) -> Result | Trouble:
    """A success that is not the usual object: valid but unusual JSON is the row's answer, anything else is malformed."""
    body = one_line(answer.body)
    if body is None:
        return Trouble(
            FailureKind.MALFORMED_RESPONSE,
            f"HTTP {answer.status} with a body that is not JSON: {_excerpt(answer.body)}",
            retryable=True,
        )
    value = _decode_any(body)
    if isinstance(value, dict):
        if value.get("error"):
            return _error_in_success(answer, body, now_utc)
        return Result(body, NO_USAGE)  # its `usage` is of an unknown shape, or cannot be true
    if isinstance(value, list):
        return Result(body, NO_USAGE)  # some embedding servers answer with a bare list
    return Trouble(
        FailureKind.MALFORMED_RESPONSE,
        f"HTTP {answer.status} with neither a JSON object nor a list: {_excerpt(body)}",
        retryable=True,
    )


def _error_in_success(answer: Answer, body: bytes, now_utc: float) -> Trouble:
    """`{"error": …}` under a success status: judged by its code, and never written as a response."""
    codes, message = _error_of(_decode_any(body))
    status = next((int(code) for code in codes if code.isdecimal() and len(code) == 3), SERVER_ERROR)
    if codes & REQUEST_ERROR_CODES:
        status = BAD_REQUEST
    trouble = _read_failure(answer, status, body, now_utc)
    if trouble.kind not in (FailureKind.QUOTA, FailureKind.REFUSED):
        trouble.kind = FailureKind.MALFORMED_RESPONSE
    trouble.status_code = trouble.body = None
    trouble.message = f"HTTP {answer.status} with an error in its body: {message or _excerpt(body)}"
    return trouble


def _read_failure(answer: Answer, status: int, body: bytes | None, now_utc: float) -> Trouble:
    codes, message = _error_of(None if body is None else _decode_any(body))
    rate_limited = status == TOO_MANY_REQUESTS or (status >= SERVER_ERROR and bool(codes & RATE_LIMIT_CODES))
    throttled = rate_limited or status in THROTTLE_STATUSES
    quota = bool(codes & QUOTA_CODES)
    refused = status in REFUSAL_STATUSES
    retryable = not quota and (status in TRANSIENT_STATUSES or status >= SERVER_ERROR or throttled)
    advice = answer.header(b"x-should-retry")
    if advice in (b"true", b"false") and not quota:
        retryable = advice == b"true"
        refused = refused and not retryable
    kind = FailureKind.QUOTA if quota else FailureKind.REFUSED if refused else FailureKind.HTTP
    return Trouble(
        kind,
        _elsewhere(answer) or f"HTTP {status}: {message or _excerpt(answer.body)}",
        retryable=retryable,
        throttled=throttled and retryable,
        rate_limited=rate_limited and retryable,
        wait_seconds=_asked_wait(answer, message, now_utc) if retryable else None,
        status_code=status,
        body=_as_json_text(answer.body) if body is None else body,
    )


def _asked_wait(answer: Answer, message: str | None, now_utc: float) -> float | None:
    from pipeline.core.answers.hints import retry_after_seconds  # noqa: PLC0415  6 ms that a run without failures does not pay

    return retry_after_seconds(answer.header, message, now_utc, exhausted=answer.status == TOO_MANY_REQUESTS)


def _elsewhere(answer: Answer) -> str | None:
    """What to do about a redirect, which is never followed: the key would go to another host."""
    place = answer.header(b"location") if REDIRECT <= answer.status < BAD_REQUEST else None
    if place is None:
        return None
    return f"HTTP {answer.status} to {_excerpt(place)}: redirects are not followed; if it is right, put it into provider.base_url"


def _error_of(value: Any) -> tuple[frozenset[str], str | None]:
    """The codes (code and type, lower case) and the message of an error body of any provider."""
    if not isinstance(value, dict):
        return frozenset(), value if isinstance(value, str) else None
    error = value.get("error", value)
    if isinstance(error, str):
        return frozenset(), error
    if not isinstance(error, dict):
        error = value
    codes = frozenset(str(error[key]).lower() for key in ("code", "type", "status") if error.get(key) is not None)
    message = error.get("message") or error.get("detail")
    return codes, message if isinstance(message, str) else None


def _as_json_text(body: bytes) -> bytes:
    return msgspec.json.encode(body.decode("utf-8", "replace")[:MAX_TEXT])


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 4 * EXCERPT].decode("utf-8", "replace").split())
    return repr(text[:EXCERPT]) if text else "an empty body"

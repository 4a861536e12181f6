"""What an HTTP response means for its row: a result, a failure that a retry may mend, or one that it cannot.

Reads status, headers and body; decides nothing about attempts or time (see `retry`).
Source: OpenAI SDK `_base_client.py` (`_should_retry`), its users' reports, provider references.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pipeline.core.answers.error_bodies import NO_ERROR, ErrorBody, error_in, is_empty_error
from pipeline.core.answers.scopes import (
    CLIENT_ERROR,
    REDIRECT,
    REQUEST_CODES,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    Scope,
    scope_of,
)
from pipeline.records import NO_USAGE, Answer, FailureKind, Fault, Usage

OK = 200
TRANSIENT_STATUSES = frozenset({409, 425})  # beside what is a limit's or the server's
# A 503 or 529 (Anthropic: overloaded) is not the row's doing: like a 429 its Retry-After holds for everybody.
THROTTLE_STATUSES = frozenset({503, 529})

MAX_TEXT = 65_536  # characters kept of a failure's body that is not JSON; more says nothing and costs disk
EXCERPT = 200  # characters of a body in a message

_BOM = b"\xef\xbb\xbf"


class Result(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A row's answer. body: JSON without line breaks."""

    body: bytes
    usage: Usage


class Trouble(msgspec.Struct, eq=False, gc=False):
    """Why an attempt brought no result.

    scope: whom it concerns. retryable: another attempt of this row may succeed. throttled: the provider asks everybody to
    slow down. rate_limited: it does so because of a rate limit, and would have answered a slower client. unreachable: no
    server had a part in it. wait_seconds: the least wait that the provider asks for, however long, or None; it holds for
    everybody if `throttled`, even where this row is not to be sent again. body: JSON without line breaks.
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
    return _read_failure(answer, now_utc)


def classify_fault(fault: Fault) -> Trouble:
    """What an attempt without a response means for its row: all but a permanent fault may pass."""
    return Trouble(
        fault.kind,
        fault.message,
        retryable=not fault.permanent,
        scope=Scope.SETUP if fault.permanent else Scope.SERVER,
        unreachable=not (fault.maybe_sent or fault.permanent),
    )


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
    if bytes(reply.error) not in _NOT_AN_ERROR and not is_empty_error(_decode_any(reply.error)):
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
        if not is_empty_error(value.get("error")):
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
    error = error_in(_decode_any(body))
    status = next((int(code) for code in error.codes if code.isdecimal() and 300 <= int(code) < 600), SERVER_ERROR)
    if error.codes & REQUEST_CODES:
        status = CLIENT_ERROR
    trouble = _judge_failure(answer, status, error, body, now_utc)
    if trouble.kind not in (FailureKind.QUOTA, FailureKind.REFUSED):
        trouble.kind = FailureKind.MALFORMED_RESPONSE
    trouble.status_code = trouble.body = None
    trouble.message = f"HTTP {answer.status} with an error in its body: {error.message or _excerpt(body)}"
    return trouble


def _read_failure(answer: Answer, now_utc: float) -> Trouble:
    body = one_line(answer.body)
    error = NO_ERROR if body is None else error_in(_decode_any(body))
    return _judge_failure(answer, answer.status, error, body, now_utc)


def _judge_failure(answer: Answer, status: int, error: ErrorBody, body: bytes | None, now_utc: float) -> Trouble:
    """Whom a failure concerns, and whether the row may try again. status: the one to judge by."""
    error = _with_headers(answer, error)
    wait = _asked_wait(answer, error, now_utc)
    scope = scope_of(status, error, wait_told=wait is not None)
    retryable = scope in _PASSING or status in TRANSIENT_STATUSES
    advice = answer.header(b"x-should-retry")
    if advice in (b"true", b"false") and scope is not Scope.QUOTA:
        scope, retryable = _advised(scope, retry=advice == b"true", wait_told=wait is not None)
    return Trouble(
        FailureKind.QUOTA if scope is Scope.QUOTA else FailureKind.REFUSED if scope is Scope.KEY else FailureKind.HTTP,
        _elsewhere(answer) or f"HTTP {status}: {error.message or _excerpt(answer.body)}",
        retryable=retryable,
        scope=scope,
        throttled=scope is Scope.THROTTLE or (status in THROTTLE_STATUSES and retryable),
        rate_limited=scope in (Scope.THROTTLE, Scope.PARALLEL),
        # A place among those in flight is free as soon as one of ours has ended, whatever window the provider names.
        wait_seconds=None if scope is Scope.PARALLEL else wait,
        status_code=status,
        body=_as_json_text(answer.body) if body is None else body,
    )


_PASSING = frozenset({Scope.THROTTLE, Scope.PARALLEL, Scope.SERVER})
_TOLD_IN_HEADERS = (b"x-amzn-errortype", b"rate_limit_type")  # AWS; LiteLLM's proxy


def _advised(scope: Scope, *, retry: bool, wait_told: bool) -> tuple[Scope, bool]:
    """What `x-should-retry` makes of a failure: it speaks of this row.

    A rate limit stays everybody's business even if this row is not to be sent again. A provider that says both "do not
    retry" and when to come back means "not at once" (Anthropic's limit on long contexts, relays).
    """
    if scope in (Scope.THROTTLE, Scope.PARALLEL):
        return scope, retry or wait_told
    return Scope.ROW, retry


def _with_headers(answer: Answer, error: ErrorBody) -> ErrorBody:
    told = [value.split(b":")[0].decode("ascii", "replace").lower() for name in _TOLD_IN_HEADERS if (value := answer.header(name))]
    return msgspec.structs.replace(error, codes=error.codes | frozenset(told)) if told else error


def _asked_wait(answer: Answer, error: ErrorBody, now_utc: float) -> float | None:
    from pipeline.core.answers.hints import retry_after_seconds  # noqa: PLC0415  6 ms that a run without failures does not pay

    exhausted = answer.status == TOO_MANY_REQUESTS
    return retry_after_seconds(answer.header, error.message, now_utc, exhausted=exhausted, told=error.waits)


def _elsewhere(answer: Answer) -> str | None:
    """What to do about a redirect, which is never followed: the key would go to another host."""
    place = answer.header(b"location") if REDIRECT <= answer.status < CLIENT_ERROR else None
    if place is None:
        return None
    return f"HTTP {answer.status} to {_excerpt(place)}: redirects are not followed; if it is right, put it into provider.base_url"


def _as_json_text(body: bytes) -> bytes:
    return msgspec.json.encode(body.decode("utf-8", "replace")[:MAX_TEXT])


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 4 * EXCERPT].decode("utf-8", "replace").split())
    return repr(text[:EXCERPT]) if text else "an empty body"

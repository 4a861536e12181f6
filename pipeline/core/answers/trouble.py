"""What a failed attempt means: whom it concerns, whether another one may succeed, and how long to wait.

Reads status, headers and body; decides nothing about attempts or time (see `retry`).
Source: OpenAI SDK `_base_client.py` (`_should_retry`), its users' reports, provider references.
"""

from __future__ import annotations

import msgspec

from pipeline.core.answers.error_bodies import ErrorBody, read_error
from pipeline.core.answers.meaning import Trouble
from pipeline.core.answers.mend import json_text
from pipeline.core.answers.scopes import CLIENT_ERROR, PASSING_STATUSES, REDIRECT, TOO_MANY_REQUESTS, scope_of
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Scope

# A 503 or 529 (Anthropic: overloaded) is not the row's doing: like a 429 its Retry-After holds for everybody.
THROTTLE_STATUSES = frozenset({503, 529})
PASSING_SCOPES = frozenset({Scope.THROTTLE, Scope.PARALLEL, Scope.SERVER})

MAX_TEXT = 65_536  # characters kept of a failure's body that is not JSON; more says nothing and costs disk
EXCERPT = 200  # characters of a body in a message

_TOLD_IN_HEADERS = (b"x-amzn-errortype", b"rate_limit_type")  # AWS; LiteLLM's proxy
# Everything else that goes wrong on the way is probably met by other rows too.
_SCOPE_OF_CAUSE = {
    FaultCause.DNS: Scope.SETUP,
    FaultCause.TLS: Scope.SETUP,
    FaultCause.PROXY_AUTH: Scope.SETUP,
    FaultCause.TOO_LARGE: Scope.ROW,
    FaultCause.FILE: Scope.ROW,
}


def trouble_of_fault(fault: Fault) -> Trouble:
    """What an attempt without a response means for its row: all but a permanent fault may pass."""
    return Trouble(
        fault.kind,
        fault.message,
        retryable=not fault.permanent,
        scope=_SCOPE_OF_CAUSE.get(fault.cause, Scope.SERVER),
        unreachable=not (fault.maybe_sent or fault.permanent),
        bought=fault.cause is FaultCause.TOO_LARGE,
    )


def classify_failure(answer: Answer, now_utc: float) -> Trouble:
    """What an unsuccessful response means for its row."""
    body = json_text(answer.body)
    return judge(answer, answer.status, read_error(body), body, now_utc)


def judge(answer: Answer, status: int, error: ErrorBody, body: bytes | None, now_utc: float) -> Trouble:
    """Whom a failure concerns, and whether the row may try again. status: the one to judge by."""
    error = _with_headers(answer, error)
    wait = _asked_wait(answer, error, now_utc)
    scope = scope_of(status, error, wait_told=wait is not None)
    retryable = scope in PASSING_SCOPES or (scope is Scope.ROW and status in PASSING_STATUSES)
    advice = answer.header(b"x-should-retry")
    if advice in (b"true", b"false") and scope is not Scope.QUOTA:
        scope, retryable = _advised(scope, retry=advice == b"true", wait_told=wait is not None)
    return Trouble(
        FailureKind.QUOTA if scope is Scope.QUOTA else FailureKind.REFUSED if scope is Scope.KEY else FailureKind.HTTP,
        _elsewhere(answer) or f"HTTP {status}: {error.message or excerpt(answer.body)}",
        retryable=retryable,
        scope=scope,
        throttled=scope is Scope.THROTTLE or (status in THROTTLE_STATUSES and retryable),
        rate_limited=scope in (Scope.THROTTLE, Scope.PARALLEL),
        # A place among those in flight is free as soon as one of ours has ended, whatever window the provider names.
        wait_seconds=None if scope is Scope.PARALLEL else wait,
        status_code=status,
        body=as_json_text(answer.body) if body is None else body,
    )


def as_json_text(body: bytes) -> bytes:
    """A body that is not JSON, as a JSON text of bounded length."""
    return msgspec.json.encode(body[: 4 * MAX_TEXT].decode("utf-8", "replace")[:MAX_TEXT])


def excerpt(body: bytes) -> str:
    """The beginning of a body, for a message."""
    text = " ".join(body[: 4 * EXCERPT].decode("utf-8", "replace").split())
    return repr(text[:EXCERPT]) if text else "an empty body"


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
    """What to do about a redirect that the transport did not follow: the key would go to another host."""
    place = answer.header(b"location") if REDIRECT <= answer.status < CLIENT_ERROR else None
    if place is None:
        return None
    return f"HTTP {answer.status} to {excerpt(place)}: this redirect is not followed; if it is right, put it into provider.base_url"

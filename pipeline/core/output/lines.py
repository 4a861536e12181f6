"""Outcomes as lines of the output, and back: the OpenAI Batch output line, or a flat one.

A provider's JSON goes through as the bytes that came. One outcome is one physical line, whatever is in it.
Source: OpenAI Batch guide; vLLM's run-batch, which fills `response` and `error` both when a row has failed for good.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.error_bodies import ErrorBody
from pipeline.core.answers.error_bodies import read_error as read_error_body
from pipeline.core.answers.replies import NULL, read_error, read_reply
from pipeline.core.output.written import NEVER_SENT_KINDS, Written, may_have_passed
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success, Usage

BATCH_ID = "batch_req_"  # and the index in hex
CLIENT_ERROR = 400  # HTTP statuses from here on are failures by themselves


class _Error(msgspec.Struct, gc=False):
    code: str
    message: str


class _Response(msgspec.Struct, gc=False):
    status_code: int
    request_id: str | None
    body: msgspec.Raw


class _BatchLine(msgspec.Struct, gc=False):
    id: str
    custom_id: str
    response: _Response | None
    error: _Error | None


class _FlatLine(msgspec.Struct, gc=False):
    index: int
    custom_id: str
    status: str
    content: msgspec.Raw
    usage: msgspec.Raw
    status_code: int | None
    error: _Error | None
    attempts: int
    latency_seconds: float


class _OutputLine(msgspec.Struct, gc=False):
    """What both shapes have, and a key that only one of them has each."""

    custom_id: str
    error: msgspec.Raw
    response: msgspec.Raw = NULL
    id: Any = None
    status: Any = None


class _Counts(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _WithUsage(msgspec.Struct, gc=False):
    usage: _Counts | None = None


_encode = msgspec.json.Encoder().encode
_decode_output = msgspec.json.Decoder(_OutputLine).decode


def encode_batch(outcome: Outcome) -> bytes:
    """The OpenAI Batch output line, with its line break."""
    response = error = None
    if outcome.body is not None and outcome.status_code is not None:
        response = _Response(outcome.status_code, outcome.request_id, msgspec.Raw(outcome.body))
    if isinstance(outcome, Failure) and not _body_tells(outcome):
        error = _Error(outcome.kind.value, _sound(outcome.message))
    return _encode(_BatchLine(f"{BATCH_ID}{outcome.index:012x}", outcome.custom_id, response, error)) + b"\n"


def encode_flat(outcome: Outcome) -> bytes:
    """The flat output line, with its line break: the same keys for every outcome."""
    content = usage = NULL
    status, error = "success", None
    if isinstance(outcome, Success):
        content, usage = read_reply(outcome.body)
    else:
        status, error = "error", _flat_error(outcome)
    line = _FlatLine(
        outcome.index,
        outcome.custom_id,
        status,
        content,
        usage,
        outcome.status_code,
        error,
        outcome.attempts,
        round(outcome.latency_seconds, 6),
    )
    return _encode(line) + b"\n"


def read_output_id(line: bytes) -> str | None:
    """The custom_id of an output line of either shape; None if it is no such line, or not a whole one."""
    try:
        line.decode()
        output = _decode_output(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return output.custom_id if isinstance(output.id, str) or output.status in ("success", "error") else None


class _Code(msgspec.Struct, gc=False):
    code: Any = None
    message: Any = None


class _Answered(msgspec.Struct, gc=False):
    status_code: int
    body: msgspec.Raw


class _Told(msgspec.Struct, gc=False):
    """A line of either shape, as far as it must be understood to go on from it."""

    custom_id: str
    error: _Code | None
    id: str = ""
    index: int | None = None
    status_code: int | None = None
    usage: _Counts | None = None
    response: _Answered | None = None


_decode_told = msgspec.json.Decoder(_Told).decode
_decode_usage = msgspec.json.Decoder(_WithUsage).decode


def index_of_id(name: object) -> int | None:
    """The row that the `id` of a batch line names; None if it is none of ours."""
    if not isinstance(name, str) or not name.startswith(BATCH_ID):
        return None
    try:
        return int(name.removeprefix(BATCH_ID), 16)
    except ValueError:
        return None


def read_line(line: bytes) -> Written | None:
    """What a line of the output says, of either shape; None if it is no such line, or not a whole one."""
    try:
        line.decode()
        told = _decode_told(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    index = index_of_id(told.id) if told.index is None else told.index
    if index is None:
        return None
    status = told.status_code if told.response is None else told.response.status_code
    if told.error is None and status is not None and status < CLIENT_ERROR:
        return Written(index, told.custom_id, succeeded=True, usage=_usage_of(told))
    return _failed(index, told, status)


def _failed(index: int, told: _Told, status: int | None) -> Written:
    """What a line says of a row that failed."""
    own = None if told.error is None or told.error.code is None else str(told.error.code).lower()
    said = read_error_body(None if told.response is None else told.response.body)
    if told.response is None and told.error is not None and own is not None:  # a flat line has the provider's words in `error`
        said = ErrorBody(own, told.error.message if isinstance(told.error.message, str) else None, frozenset({own}))
    names = {own, None if status is None else str(status), *said.codes}
    return Written(
        index,
        told.custom_id,
        succeeded=False,
        usage=NO_USAGE,
        transient=may_have_passed(own, status, said),
        never_sent=status is None and own in NEVER_SENT_KINDS,
        codes=frozenset(name for name in names if name is not None),
    )


def _usage_of(told: _Told) -> Usage:
    counts = told.usage
    if told.response is not None:
        try:
            counts = _decode_usage(told.response.body).usage
        except (msgspec.DecodeError, RecursionError):
            return NO_USAGE
    if counts is None:
        return NO_USAGE
    return Usage(counts.prompt_tokens or counts.input_tokens or 0, counts.completion_tokens or counts.output_tokens or 0)


def _body_tells(failure: Failure) -> bool:
    """The response says by itself why the row failed, so `error` stays null."""
    if failure.body is None or failure.status_code is None:
        return False
    return failure.status_code >= CLIENT_ERROR and failure.kind is not FailureKind.RETRIES_EXHAUSTED


def _flat_error(failure: Failure) -> _Error:
    if not _body_tells(failure):
        return _Error(failure.kind.value, _sound(failure.message))
    code, message = read_error(failure.body or b"")
    return _Error(code or f"http_{failure.status_code}", _sound(message or failure.message))


def _sound(text: str) -> str:
    """Text that UTF-8 can hold: a message may quote bytes that were no text."""
    return text.encode(errors="replace").decode()

"""Outcomes as lines of the output, and back: the OpenAI Batch output line, or a flat one.

A provider's JSON goes through as the bytes that came. One outcome is one physical line, whatever is in it.
Source: OpenAI Batch guide; vLLM's run-batch, which fills `response` and `error` both when a row has failed for good.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.replies import NULL, read_error, read_reply
from pipeline.records import Failure, FailureKind, Outcome, Success

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


_encode = msgspec.json.Encoder().encode
_decode_output = msgspec.json.Decoder(_OutputLine).decode


def encode_batch(outcome: Outcome) -> bytes:
    """The OpenAI Batch output line, with its line break."""
    response = error = None
    if outcome.body is not None and outcome.status_code is not None:
        response = _Response(outcome.status_code, outcome.request_id, msgspec.Raw(outcome.body))
    if isinstance(outcome, Failure) and not _body_tells(outcome):
        error = _Error(outcome.kind.value, _sound(outcome.message))
    return _encode(_BatchLine(f"batch_req_{outcome.index:012x}", outcome.custom_id, response, error)) + b"\n"


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

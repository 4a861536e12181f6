"""Outcomes as flat lines: the same keys for every outcome, with the text of an answer in one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.parts import NULL
from pipeline.core.answers.plain_chat import read_plain_chat
from pipeline.core.output.lines import CLIENT_ERROR, LineError, as_object, body_tells, sound_text
from pipeline.records import Failure, Outcome, Success

if TYPE_CHECKING:
    from pipeline.core.answers.parts import Reading

_encode = msgspec.json.Encoder().encode


class _FlatLine(msgspec.Struct, gc=False):
    index: int
    custom_id: str
    status: str
    content: msgspec.Raw
    finish_reason: str | None
    usage: msgspec.Raw
    status_code: int | None
    error: LineError | None
    attempts: int
    latency_seconds: float
    first_token_seconds: float | None
    lane: str | None
    response: msgspec.Raw


def encode_flat(outcome: Outcome, base: int = 0) -> bytes:
    """The flat output line, with its line break: the same keys for every outcome. base: as `encode_batch` takes it."""
    content = usage = response = NULL
    status, error, finish_reason, first_token = "success", None, None, None
    if isinstance(outcome, Success):
        reading = read_plain_chat(outcome.body) or _read_reply(outcome.body)
        content, usage, finish_reason = reading.content, reading.usage, reading.finish_reason
        if outcome.first_token_seconds is not None:
            first_token = round(outcome.first_token_seconds, 6)
        if not reading.complete:
            response = as_object(outcome.body)
    else:
        status, error = "error", _flat_error(outcome)
        if outcome.body is not None and (outcome.status_code or 0) < CLIENT_ERROR:
            response = as_object(outcome.body)  # an answer that was paid for, and rejected
    line = _FlatLine(
        base + outcome.index,
        outcome.custom_id,
        status,
        content,
        finish_reason,
        usage,
        outcome.status_code,
        error,
        outcome.attempts,
        round(outcome.latency_seconds, 6),
        first_token,
        outcome.lane or None,
        response,
    )
    return _encode(line) + b"\n"


def _read_reply(body: bytes) -> Reading:
    from pipeline.core.answers.shapes import read_reply  # noqa: PLC0415  2 ms that a run of plain chat completions does not pay

    return read_reply(body)


def _flat_error(failure: Failure) -> LineError:
    if not body_tells(failure):
        return LineError(failure.kind.value, sound_text(failure.message))
    from pipeline.core.answers.error_bodies import read_error  # noqa: PLC0415  only failures need it

    error = read_error(failure.body)
    return LineError(error.code or f"http_{failure.status_code}", sound_text(error.message or failure.message))

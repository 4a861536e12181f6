"""Outcomes as OpenAI Batch output lines. Flat lines are in `flat_lines`; how both are read back is in `read_lines`.

A provider's JSON goes through as the bytes that came. One outcome is one physical line, whatever is in it. Every key holds
values of one type on all lines (an object, a text …) as far as it is ours to say, so that table readers take the file.
Source: OpenAI Batch guide; vLLM's run-batch, which fills `response` and `error` both when a row has failed for good.
"""

from __future__ import annotations

import msgspec

from pipeline.core.answers.parts import head_of, object_of
from pipeline.records import Failure, FailureKind, Outcome, Success

BATCH_ID = "batch_req_"  # and the index in hex
CLIENT_ERROR = 400  # HTTP statuses from here on are failures by themselves
NOT_JSON = "not_json"  # the error type of a body that was no JSON object


class LineError(msgspec.Struct, gc=False):
    """Why a row failed, as `error` of its line."""

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
    error: LineError | None


# What `_BatchLine` makes of a success whose body is an object.
_SUCCESS = (
    b'{"id":"%b%%012x","custom_id":%%b,"response":{"status_code":%%d,"request_id":%%b,"body":%%b},"error":null}\n' % BATCH_ID.encode()
)

_encode = msgspec.json.Encoder().encode
_decode_any = msgspec.json.Decoder().decode


def encode_batch(outcome: Outcome, base: int = 0) -> bytes:
    """The OpenAI Batch output line, with its line break. base: index of the row that counts as the first."""
    if isinstance(outcome, Success) and outcome.body.startswith(b"{"):  # nearly every row; by one format, at a third of the cost
        request_id = outcome.request_id
        return _SUCCESS % (
            base + outcome.index,
            _encode(outcome.custom_id),
            outcome.status_code,
            b"null" if request_id is None else _encode(request_id),
            outcome.body,
        )
    response = error = None
    if outcome.body is not None and outcome.status_code is not None:
        response = _Response(outcome.status_code, outcome.request_id, as_object(outcome.body))
    if isinstance(outcome, Failure) and not body_tells(outcome):
        error = LineError(outcome.kind.value, sound_text(outcome.message))
    return _encode(_BatchLine(f"{BATCH_ID}{base + outcome.index:012x}", outcome.custom_id, response, error)) + b"\n"


def as_object(body: bytes) -> msgspec.Raw:
    """A body as a JSON object: a column of bodies then holds nothing else, whatever a gateway answers."""
    raw = msgspec.Raw(body)
    if body.startswith(b"{"):
        return raw
    if body.startswith(b"["):
        head = head_of(raw)
        only = {} if memoryview(head.second) else object_of(head.first)
        if "error" in only:  # Google
            return msgspec.Raw(_encode(only))
        return msgspec.Raw(_encode({"data": raw}))
    value = _decode_any(body)
    message = value if isinstance(value, str) else body.decode()
    return msgspec.Raw(_encode({"error": {"message": message, "type": NOT_JSON}}))


def body_tells(failure: Failure) -> bool:
    """The response says by itself why the row failed, so `error` stays null."""
    if failure.body is None or failure.status_code is None:
        return False
    return failure.status_code >= CLIENT_ERROR and failure.kind is not FailureKind.RETRIES_EXHAUSTED


def sound_text(text: str) -> str:
    """Text that UTF-8 can hold: a message may quote bytes that were no text."""
    return text.encode(errors="replace").decode()

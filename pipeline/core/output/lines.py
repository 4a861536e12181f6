"""Outcomes as lines of the output, and back: the OpenAI Batch output line, or a flat one.

A provider's JSON goes through as the bytes that came. One outcome is one physical line, whatever is in it. Every key holds
values of one type on all lines (an object, a text …) as far as it is ours to say, so that table readers take the file.
Source: OpenAI Batch guide; vLLM's run-batch, which fills `response` and `error` both when a row has failed for good.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.error_bodies import ErrorBody, read_error
from pipeline.core.answers.parts import NULL, head_of, object_of
from pipeline.core.answers.shapes import find_usage, read_reply
from pipeline.core.answers.usage import read_usage
from pipeline.core.output.written import NEVER_SENT_KINDS, Written, may_have_passed
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success

BATCH_ID = "batch_req_"  # and the index in hex
CLIENT_ERROR = 400  # HTTP statuses from here on are failures by themselves
NOT_JSON = "not_json"  # the error type of a body that was no JSON object


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
    finish_reason: str | None
    usage: msgspec.Raw
    status_code: int | None
    error: _Error | None
    attempts: int
    latency_seconds: float
    first_token_seconds: float | None
    lane: str | None
    response: msgspec.Raw


KEYS = {"batch": frozenset(_BatchLine.__struct_fields__), "flat": frozenset(_FlatLine.__struct_fields__)}  # of each shape

# What `_BatchLine` makes of a success whose body is an object.
_SUCCESS = (
    b'{"id":"%b%%012x","custom_id":%%b,"response":{"status_code":%%d,"request_id":%%b,"body":%%b},"error":null}\n' % BATCH_ID.encode()
)

_encode = msgspec.json.Encoder().encode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
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
        response = _Response(outcome.status_code, outcome.request_id, _as_object(outcome.body))
    if isinstance(outcome, Failure) and not _body_tells(outcome):
        error = _Error(outcome.kind.value, _sound(outcome.message))
    return _encode(_BatchLine(f"{BATCH_ID}{base + outcome.index:012x}", outcome.custom_id, response, error)) + b"\n"


def encode_flat(outcome: Outcome, base: int = 0) -> bytes:
    """The flat output line, with its line break: the same keys for every outcome. base: as `encode_batch` takes it."""
    content = usage = response = NULL
    status, error, finish_reason, first_token = "success", None, None, None
    if isinstance(outcome, Success):
        reading = read_reply(outcome.body)
        content, usage, finish_reason = reading.content, reading.usage, reading.finish_reason
        if outcome.first_token_seconds is not None:
            first_token = round(outcome.first_token_seconds, 6)
        if not reading.complete:
            response = _as_object(outcome.body)
    else:
        status, error = "error", _flat_error(outcome)
        if outcome.body is not None and (outcome.status_code or 0) < CLIENT_ERROR:
            response = _as_object(outcome.body)  # an answer that was paid for, and rejected
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


def _as_object(body: bytes) -> msgspec.Raw:
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


def _body_tells(failure: Failure) -> bool:
    """The response says by itself why the row failed, so `error` stays null."""
    if failure.body is None or failure.status_code is None:
        return False
    return failure.status_code >= CLIENT_ERROR and failure.kind is not FailureKind.RETRIES_EXHAUSTED


def _flat_error(failure: Failure) -> _Error:
    if not _body_tells(failure):
        return _Error(failure.kind.value, _sound(failure.message))
    error = read_error(failure.body)
    return _Error(error.code or f"http_{failure.status_code}", _sound(error.message or failure.message))


def _sound(text: str) -> str:
    """Text that UTF-8 can hold: a message may quote bytes that were no text."""
    return text.encode(errors="replace").decode()


# ---- back ------------------------------------------------------------------------------------------------------------


class _ReadResponse(msgspec.Struct, gc=False):
    status_code: int | None = None
    body: msgspec.Raw = NULL


class _ReadError(msgspec.Struct, gc=False):
    code: Any = None
    message: Any = None


class _ReadLine(msgspec.Struct, gc=False):
    """A line of either shape, as far as it must be understood to go on from it or to show it.

    Of what the provider said nothing is asked: whatever it sent, a line that we wrote can be read.
    """

    custom_id: str
    error: _ReadError | None
    id: Any = ""  # of a flat line it may be a field of the input
    status: str = ""
    index: int | None = None
    content: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL
    status_code: int | None = None
    response: msgspec.Raw = NULL
    finish_reason: Any = None


_decode_line = msgspec.json.Decoder(_ReadLine).decode
_decode_response = msgspec.json.Decoder(_ReadResponse | None).decode


def read_output_id(line: bytes) -> str | None:
    """The custom_id of an output line of either shape; None if it is no such line, or not a whole one."""
    try:
        line.decode()
        output = _decode_line(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return output.custom_id if output.id or output.status in ("success", "error") else None


def index_of_id(name: object) -> int | None:
    """The row that the `id` of a batch line names; None if it is none of ours."""
    if not isinstance(name, str) or not name.startswith(BATCH_ID):
        return None
    try:
        return int(name.removeprefix(BATCH_ID), 16)
    except ValueError:
        return None


def moved_line(line: bytes, index: int, custom_id: str) -> bytes:
    """The line of a row that stands in another place now. custom_id: the row's id there."""
    parts = _decode_parts(line)
    if "index" in parts:
        parts["index"] = msgspec.Raw(b"%d" % index)
    else:
        parts["id"] = msgspec.Raw(b'"%s%012x"' % (BATCH_ID.encode(), index))
    parts["custom_id"] = msgspec.Raw(_encode(custom_id))
    return _encode(parts) + b"\n"


def read_line(line: bytes, base: int = 0) -> Written | None:
    """What a line of the output says, of either shape; None if it is no such line, or not a whole one. base: as it was written with."""
    try:
        line.decode()
        read = _decode_line(line)
        response = _decode_response(read.response) if read.index is None else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    index = index_of_id(read.id) if read.index is None else read.index
    if index is None:
        return None
    index -= base
    status = read.status_code if response is None else response.status_code
    reply = NULL if response is None else response.body
    if read.error is None and status is not None and status < CLIENT_ERROR:
        usage = find_usage(object_of(reply)) if response is not None else read.usage
        reason = _text(read.finish_reason)
        return Written(index, read.custom_id, True, read_usage(usage), status, content=read.content, reply=reply, reason=reason)
    return _failed(index, read, status, None if response is None else bytes(reply))


def _failed(index: int, read: _ReadLine, status: int | None, reply: bytes | None) -> Written:
    """What a line says of a row that failed."""
    own = None if read.error is None or read.error.code is None else str(read.error.code)
    said = read_error(reply)
    if reply is None and own is not None and read.error is not None:  # a flat line has the provider's words in `error`
        said = ErrorBody(own, _text(read.error.message), frozenset({own.lower()}))
    name = None if own is None else own.lower()
    names = {name, None if status is None else str(status), *said.codes}
    return Written(
        index,
        read.custom_id,
        False,
        NO_USAGE,
        status,
        transient=may_have_passed(name, status, said),
        never_sent=status is None and name in NEVER_SENT_KINDS,
        codes=frozenset(name for name in names if name is not None),
        code=own or said.code,
        message=_text(read.error.message) if read.error is not None else said.message,
    )


def _text(message: object) -> str | None:
    return message if isinstance(message, str) else None

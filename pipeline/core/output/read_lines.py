"""Lines of the output, read back: to go on from them, to move them, to show them. Either shape is read."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.error_bodies import ErrorBody, read_error
from pipeline.core.answers.parts import NULL, is_object, object_of
from pipeline.core.answers.shapes import read_written
from pipeline.core.answers.usage import read_usage
from pipeline.core.output.lines import BATCH_ID, CLIENT_ERROR
from pipeline.core.output.written import NEVER_SENT_KINDS, Written, may_have_passed
from pipeline.records import NO_USAGE

_encode = msgspec.json.Encoder().encode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


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
        usage = read.usage if response is None else _usage_in(reply)
        reason = _text(read.finish_reason)
        return Written(index, read.custom_id, True, read_usage(usage), status, content=read.content, reply=reply, reason=reason)
    return _failed(index, read, status, None if response is None else bytes(reply))


def _usage_in(reply: msgspec.Raw) -> msgspec.Raw:
    """Where a reply reports its tokens: mostly at its top, which is looked at first because it is faster."""
    usage = object_of(reply).get("usage", NULL)
    return usage if is_object(usage) else read_written(bytes(reply)).usage


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

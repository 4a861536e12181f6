"""Rows that are whole requests: OpenAI Batch lines, and the lines of other providers' batch files.

A body goes out byte for byte as it came. Where a line says no url, its format does:

    {custom_id, method, url, body}    OpenAI, vLLM, Groq
    {custom_id, body}                 Mistral, Together, Fireworks
    {custom_id, params}               Anthropic, /v1/messages
    {recordId, modelInput}            Bedrock
    {model, messages, …}              a bare body, as the OpenAI cookbook writes it
    {key, request}                    Gemini; its url names the model, so the config must say it

Source: each provider's batch reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.rows.names import CUSTOM_ID, OTHER_IDS, given_name
from pipeline.core.rows.templates import RowError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.rows.templates import JSON

CHAT_URL, MESSAGES_URL = "/v1/chat/completions", "/v1/messages"
METHOD = "POST"  # the one that the Batch API knows
FIELDS = {"params": MESSAGES_URL, "modelInput": CHAT_URL}  # other names of a body, and where it is sent

_BODY = b'"body":'
HEAD_BYTES = 4096  # of a line, in which its body begins


class WholeRequest(msgspec.Struct, gc=False):
    """What a row asks for. url: None where it does not say. custom_id: None where it has none."""

    body: bytes
    url: str | None
    custom_id: str | None


class Line(msgspec.Struct, gc=False):
    """A line of a batch file, as far as it is decoded."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    url: str = ""
    custom_id: str | int | None = None
    method: str | None = METHOD


decode_line = msgspec.json.Decoder(Line).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode


def read_request(data: bytes) -> WholeRequest:
    """The request in a line of a batch file. Raises RowError, msgspec.DecodeError."""
    line = decode_line(data)
    if isinstance(line.body, msgspec.UnsetType):
        return _other_format(data)
    return _request(line, _object(line.body, "body"))


def _request(line: Line, body: bytes) -> WholeRequest:
    if line.method is not None and line.method != METHOD and line.method.upper() != METHOD:
        raise RowError(f"method must be {METHOD}, got {line.method!r}")
    name = line.custom_id if isinstance(line.custom_id, str) or line.custom_id is None else str(line.custom_id)
    return WholeRequest(body, line.url or None, name)


def usual_request(data: bytes) -> WholeRequest | None:
    """The same for a long line whose last field is its body, as nearly all have it; None for any other line.

    Its body is not read: whoever takes it must see that it is JSON, and then the line is too. That saves a pass over 1.5 MB.
    Raises RowError, msgspec.DecodeError.
    """
    at = data.find(_BODY, 0, HEAD_BYTES)
    start = at + len(_BODY)
    start += data[start : start + 1] == b" "
    if at < 1 or data[at - 1 : at] == b"\\" or data[start : start + 1] != b"{" or not data.endswith(b"}}"):
        return None
    line = decode_line(data[:start] + b"null}")
    if isinstance(line.body, msgspec.UnsetType):
        return None
    return _request(line, data[start:-1])


def request_in(data: bytes, field: str) -> WholeRequest:
    """The request whose body is in this field. Raises RowError, msgspec.DecodeError."""
    parts = _decode_parts(data)
    if field not in parts:
        raise RowError(f"has no field {field!r} (request.body_field)")
    body = bytes(parts[field])
    if body.startswith(b'"'):  # a cell of a table holds it as text
        body = _decode_any(body).encode()
        try:
            _decode_any(body)
        except msgspec.DecodeError as error:
            raise RowError(f"field {field!r} (request.body_field) is a text that is not JSON: {error}") from None
    return WholeRequest(_object(body, field), _text(parts.get("url")), _name_in(parts))


def is_whole_request(fields: Mapping[str, JSON]) -> bool:
    """Whether a row is an OpenAI Batch line beside rows that a template is for."""
    return "url" in fields and isinstance(fields.get("body"), dict)


def _other_format(data: bytes) -> WholeRequest:
    parts = _decode_parts(data)
    for field, url in FIELDS.items():
        if field in parts:
            return WholeRequest(_object(parts[field], field), _text(parts.get("url")) or url, _name_in(parts))
    if "messages" in parts and CUSTOM_ID not in parts:
        return WholeRequest(data.strip(), CHAT_URL, None)
    if "request" in parts:
        raise RowError("has its body in `request`; set request.url and request.body_field: request in the config")
    missing = "body" if "url" in parts else "url"
    raise RowError(
        f"is not an OpenAI Batch line: Object missing required field `{missing}`; request.body in the config makes requests of other rows"
    )


def _object(body: msgspec.Raw | bytes, field: str) -> bytes:
    text = bytes(body)
    if not text.startswith(b"{"):
        raise RowError(f"{field} must be a JSON object")
    return text


def _name_in(parts: Mapping[str, msgspec.Raw]) -> str | None:
    return next((name for key in (CUSTOM_ID, *OTHER_IDS) if (name := given_name(_value(parts.get(key)), key))), None)


def _text(raw: msgspec.Raw | None) -> str | None:
    value = _value(raw)
    return value if isinstance(value, str) else None


def _value(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else _decode_any(raw)

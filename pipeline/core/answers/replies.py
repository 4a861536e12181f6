"""Reads a provider's JSON reply as far as a flat line needs it; whatever it looks like, it never raises.

Values are passed on as the bytes that came. Source: OpenAI API reference (chat, completions, responses, embeddings).
"""

from __future__ import annotations

from typing import Any

import msgspec

NULL = msgspec.Raw(b"null")


class _Reply(msgspec.Struct, gc=False):
    choices: msgspec.Raw = NULL  # chat and plain completions
    output: msgspec.Raw = NULL  # the Responses API
    data: msgspec.Raw = NULL  # embeddings
    usage: msgspec.Raw = NULL


class _Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = NULL


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    text: msgspec.Raw = NULL


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""


class _Item(msgspec.Struct, gc=False):
    content: list[_Part] | None = None


class _Embedding(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_choices = msgspec.json.Decoder(list[_Choice]).decode
_decode_items = msgspec.json.Decoder(list[_Item]).decode
_decode_embeddings = msgspec.json.Decoder(list[_Embedding]).decode
_decode_any = msgspec.json.Decoder().decode


def read_reply(body: bytes) -> tuple[msgspec.Raw, msgspec.Raw]:
    """The content and the usage object of a reply, each JSON; null where there is none.

    Content is the first choice's, the joined text of a response, or the embedding (a list of them if several).
    """
    try:
        reply = _decode_reply(body)
    except (msgspec.DecodeError, RecursionError):
        return NULL, NULL
    usage = reply.usage if bytes(reply.usage).startswith(b"{") else NULL
    for read, part in ((_from_choices, reply.choices), (_from_items, reply.output), (_from_embeddings, reply.data)):
        if bytes(part).startswith(b"["):
            try:
                return read(part), usage
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                pass
    return NULL, usage


def read_error(body: bytes) -> tuple[str | None, str | None]:
    """The code and the message of an error body, each None where it does not say."""
    try:
        value = _decode_any(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None, None
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, str):
        return None, error or None
    if not isinstance(error, dict):
        return None, None
    return _text(error, "code") or _text(error, "type"), _text(error, "message") or _text(error, "detail")


def _from_choices(part: msgspec.Raw) -> msgspec.Raw:
    choices = _decode_choices(part)
    if not choices:
        return NULL
    first = choices[0]
    return first.text if first.message is None else first.message.content


def _from_items(part: msgspec.Raw) -> msgspec.Raw:
    texts = [part.text for item in _decode_items(part) for part in item.content or () if part.type == "output_text"]
    return msgspec.Raw(_encode("".join(texts))) if texts else NULL


def _from_embeddings(part: msgspec.Raw) -> msgspec.Raw:
    items = _decode_embeddings(part)
    if len(items) == 1:
        return items[0].embedding
    return msgspec.Raw(_encode([item.embedding for item in items])) if items else NULL


def _text(error: dict[str, Any], key: str) -> str | None:
    value = error.get(key)
    return str(value) if isinstance(value, str | int) and value != "" else None

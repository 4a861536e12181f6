"""Small tools with which the shapes of replies are read: a JSON object as its keys and the bytes of their values.

Values stay the bytes that came until somebody needs them, so that a reply of megabytes is not built as Python objects.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.answers.usage import read_usage
from pipeline.records import NO_USAGE, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

NULL = msgspec.Raw(b"null")
Object = dict[str, msgspec.Raw]

MANY_BYTES = 1_000_000  # a list of so many bytes may have more elements than anybody needs, and each costs 100 bytes as an object
MOST_OBJECTS = 4096  # of such a list are looked at; a reply with more in it is never said to be complete

MOST_KEYS = 65_536  # of one object are built; colons in texts count as well
_EMPTY = frozenset({b"null", b"[]", b"{}", b'""', b"false"})
_LONGEST_EMPTY = max(map(len, _EMPTY))

encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(Object).decode
_decode_objects = msgspec.json.Decoder(list[Object]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


# The words for the end of an answer, as OpenAI has them; any other word stays as it is.
FINISH_REASONS = {
    "end_turn": "stop",  # Anthropic
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "model_context_window_exceeded": "length",  # Anthropic, Zhipu
    "sensitive": "content_filter",  # Zhipu
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "STOP": "stop",  # Google
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "max_output_tokens": "length",  # the Responses API
    "completed": "stop",
    "COMPLETE": "stop",  # Cohere
    "TOOL_CALL": "tool_calls",
    "STOP_SEQUENCE": "stop",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "length",
    "eos": "stop",  # llama.cpp
    "word": "stop",
    "limit": "length",
    "eos_token": "stop",  # Text Generation Inference
    "FINISH": "stop",  # Titan on Bedrock
    "LENGTH": "length",
    "CONTENT_FILTERED": "content_filter",
    "content_filtered": "content_filter",  # Bedrock
    "guardrail_intervened": "content_filter",
}

# Words that say that the answer was broken off, by the server and not by a limit or a filter.
BROKEN_OFF = frozenset(
    {
        "error",  # OpenRouter
        *("ERROR", "TIMEOUT", "USER_CANCEL"),  # Cohere
        *("abort", "aborted", "cancelled"),  # vLLM, SGLang
        "insufficient_system_resource",  # DeepSeek
        "network_error",  # Zhipu
    }
)
# An answer may end so without a word in it: the same request would end so again, and the user is told by the reason.
ORDINARY_ENDS = (None, "stop", "tool_calls")  # which explain nothing
WORDLESS_ENDS = frozenset({"length", "content_filter"})


class Head(msgspec.Struct, gc=False, array_like=True):
    """The first two elements of a list, empty where there is none. What follows is skipped and not built."""

    first: msgspec.Raw = msgspec.Raw()
    second: msgspec.Raw = msgspec.Raw()


class Reading(msgspec.Struct, gc=False):
    """What a reply says, in any shape.

    content: the text or what stands for it, as JSON. complete: the reply says nothing beyond it but names, times and counts.
    finish_reason: why the answer ended, in OpenAI's words. usage: the provider's own object. problem: why this is no answer,
    None for one that is. error: what says so. final: the same request would bring the same. empty: all is as it should be, but there is
    nothing in the answer. key: of the reply, by which its shape was found. count: of the values in it, 0 where nobody has counted them.
    """

    content: msgspec.Raw = NULL
    complete: bool = True
    finish_reason: str | None = None
    usage: msgspec.Raw = NULL
    problem: str | None = None
    error: msgspec.Raw = NULL
    final: bool = False
    empty: bool = False
    key: str = ""
    count: int = 0

    @property
    def tokens(self) -> Usage:
        """The tokens that the reply says it used."""
        return NO_USAGE if self.usage is NULL else read_usage(self.usage)


_decode_head = msgspec.json.Decoder(Head).decode


def first_byte(raw: msgspec.Raw) -> int:
    """The first byte of a value, which shows its type."""
    return memoryview(raw)[0]


def is_list(raw: msgspec.Raw) -> bool:
    """Whether a value is a list."""
    return first_byte(raw) == 0x5B


def is_object(raw: msgspec.Raw) -> bool:
    """Whether a value is an object."""
    return first_byte(raw) == 0x7B


def is_text(raw: msgspec.Raw) -> bool:
    """Whether a value is a text."""
    return first_byte(raw) == 0x22


def present(raw: msgspec.Raw | None) -> bool:
    """Whether a value says anything."""
    return raw is not None and (len(memoryview(raw)) > _LONGEST_EMPTY or bytes(raw) not in _EMPTY)


def may_have_many(raw: msgspec.Raw | bytes) -> bool:
    """Whether a value may hold a list of which not every object is looked at. A text with many braces looks the same."""
    return len(memoryview(raw)) > MANY_BYTES and has_more_than(MOST_OBJECTS, b"{", bytes(raw))


def has_more_than(most: int, byte: bytes, text: bytes) -> bool:
    """Whether a byte stands in a text more often than that. `find` passes over 1 MB of numbers in 30 µs, `count` takes 300."""
    at = -1
    for _ in range(most + 1):
        at = text.find(byte, at + 1)
        if at < 0:
            return False
    return True


def says_more(reply: Object, plain: frozenset[str], read: str = "") -> bool:
    """Whether a reply has keys with something in them besides the plain ones and the one that was read."""
    return any(key not in plain and key != read and present(value) for key, value in reply.items())


def object_of(raw: msgspec.Raw | bytes | None) -> Object:
    """A JSON object; empty where the value is none. Of one with very many keys only those that mean something somewhere are given."""
    if raw is not None and len(memoryview(raw)) > MANY_BYTES and has_more_than(MOST_KEYS, b":", bytes(raw)):
        from pipeline.core.answers.wide_objects import known_keys_of  # noqa: PLC0415  hardly any reply has so many keys

        return known_keys_of(raw)
    try:
        return _decode_object(raw or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return {}


def objects_of(raw: msgspec.Raw | None) -> list[Object]:
    """The objects in a list. An odd element is left out, and costs only itself. Of a large list only the first elements are looked at."""
    if raw is None or not is_list(raw):
        return []
    if len(memoryview(raw)) > MANY_BYTES:
        return [object_of(item) for item in first_items_of(raw) if is_object(item)]
    try:
        return _decode_objects(raw)
    except (msgspec.DecodeError, RecursionError):
        return [object_of(item) for item in items_of(raw) if is_object(item)]


def items_of(raw: msgspec.Raw | None) -> list[msgspec.Raw]:
    """The elements of a list, each as it came."""
    if raw is None or not is_list(raw):
        return []
    try:
        return _decode_items(raw)
    except (msgspec.DecodeError, RecursionError):
        return []


def first_items_of(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of a list, MOST_OBJECTS at most. What follows is skipped and not built."""
    try:
        head = _first_decoder().decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return []
    return [item for item in msgspec.structs.astuple(head) if memoryview(item)]


@cache
def _first_decoder() -> msgspec.json.Decoder[Any]:
    nothing = msgspec.Raw()
    fields = [(f"item_{number}", msgspec.Raw, nothing) for number in range(MOST_OBJECTS)]
    return msgspec.json.Decoder(msgspec.defstruct("First", fields, array_like=True, gc=False))


def head_of(raw: msgspec.Raw | bytes) -> Head:
    """The head of a list; nothing where the value is none. Builds no other element."""
    try:
        return _decode_head(raw)
    except (msgspec.DecodeError, RecursionError):
        return Head()


def text_of(raw: msgspec.Raw | None) -> str | None:
    """A text; None where the value is none."""
    if raw is None or not is_text(raw):
        return None
    try:
        return _decode_text(raw)
    except (msgspec.DecodeError, UnicodeError):
        return None


def place_of(raw: msgspec.Raw | None) -> int:
    """A place in a list; 0 where the value is none."""
    text = bytes(NULL if raw is None else raw)
    return int(text) if text.isdigit() else 0


def has_no_text(part: Object) -> bool:
    """Whether a part of a content has something else where its text should be."""
    return "text" in part and not is_text(part["text"])


def nothing_said(what: str, reason: str | None, complete: bool = True) -> Reading:  # noqa: FBT001, FBT002  as Reading takes it
    """A reply without a word in it. reason: why it ended. Some ends explain that, and then it is an answer."""
    if reason in WORDLESS_ENDS:
        return Reading(complete=complete, finish_reason=reason)
    told = "" if reason in ORDINARY_ENDS else f' (it ended with "{reason}")'
    return Reading(complete=False, finish_reason=reason, problem=what + told, empty=True)


def as_json(value: object) -> msgspec.Raw:
    """A value as JSON."""
    return msgspec.Raw(encode(value))


def joined(texts: Iterable[str | None]) -> msgspec.Raw:
    """Texts as one; null where there is none."""
    there = [text for text in texts if text is not None]
    return as_json("".join(there)) if there else NULL


def as_text(items: list[Object]) -> msgspec.Raw:
    """Calls of tools as one text of JSON: a column of contents then holds texts alone, whatever the model chose to do."""
    return as_json(encode(items).decode()) if items else NULL


def one_or_list(contents: list[msgspec.Raw]) -> msgspec.Raw:
    """The only content, or a list of several."""
    if not contents:
        return NULL
    return contents[0] if len(contents) == 1 else as_json(contents)


def finish(raw: msgspec.Raw | None) -> str | None:
    """Why an answer ended, in OpenAI's words. An empty text (xAI) is none, nor is "null" (DashScope)."""
    word = text_of(raw)
    return FINISH_REASONS.get(word, word) if word and word != "null" else None

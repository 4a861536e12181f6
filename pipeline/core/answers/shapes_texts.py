"""Replies that hold little more than a text: models on Bedrock, watsonx, Replicate, Baidu, and Anthropic's old completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.parts import (
    NULL,
    Object,
    Reading,
    encode,
    finish,
    is_list,
    is_text,
    items_of,
    joined,
    objects_of,
    one_or_list,
    says_more,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT_KEYS = ("text", "outputText", "generated_text")
ENDS = ("stop_reason", "finish_reason", "completionReason")
COUNTS = ("tokenCount", "generated_token_count", "input_token_count")
PLAIN_TEXT = frozenset({*TEXT_KEYS, *ENDS, *COUNTS, "id", "index"})


def text_key_of(item: Object) -> str | None:
    """The key under which an element of a list holds a text."""
    return next((key for key in TEXT_KEYS if is_text(item.get(key, NULL))), None)


def read_texts(key: str) -> Callable[[Object], Reading]:
    """Reads a list of texts: Mistral, Titan and Cohere on Bedrock, and watsonx."""

    def read(reply: Object) -> Reading:
        items = objects_of(reply[key])
        keys = [text_key_of(item) for item in items]
        content = one_or_list([NULL if at is None else item[at] for at, item in zip(keys, items, strict=True)])
        whole = not any(says_more(item, PLAIN_TEXT) for item in items)
        counts = {name: items[0][name] for name in COUNTS if name in items[0]}
        if counts and "inputTextTokenCount" in reply:
            counts["inputTextTokenCount"] = reply["inputTextTokenCount"]
        usage = msgspec.Raw(encode(counts)) if counts else NULL
        return Reading(content, whole, _end(items[0]), usage, key="generated_text")

    return read


def read_text(key: str) -> Callable[[Object], Reading]:
    """Reads one text: Meta's models on Bedrock, Anthropic's old completions, Baidu's own API."""

    def read(reply: Object) -> Reading:
        return Reading(reply[key], finish_reason=_end(reply))

    return read


def read_pieces(reply: Object) -> Reading:
    """Replicate: one text, or the pieces of one."""
    output = reply["output"]
    return Reading(joined(map(text_of, items_of(output))) if is_list(output) else output)


def _end(item: Object) -> str | None:
    return finish(next((item[key] for key in ENDS if key in item), None))

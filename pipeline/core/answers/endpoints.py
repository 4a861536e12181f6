"""What an endpoint promises, told from its url and the body of the request, and whether a reply keeps it.

Relays answer in the shape that they know, so the shape of a text is free. But a text is no vector, and a vector no text; and who
sends four inputs is promised four vectors.
"""

from __future__ import annotations

from enum import Enum
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.parts import NULL, is_list, is_text, items_of

if TYPE_CHECKING:
    from pipeline.core.answers.parts import Object, Reading


class Kind(Enum):
    """What an endpoint gives. ANY: either, by the model that it is asked for."""

    TEXT = "text"
    VALUES = "values"
    ANY = "any"


# By the last part of the url, of every endpoint whose answers are known.
ENDPOINTS = {
    **dict.fromkeys(("completions", "responses", "messages", "chat", "generate", "completion", "converse"), Kind.TEXT),
    **dict.fromkeys(("generateContent", "streamGenerateContent"), Kind.TEXT),
    **dict.fromkeys(("embeddings", "embed", "embedContent", "batchEmbedContents"), Kind.VALUES),
    **dict.fromkeys(("rerank", "score", "classify", "moderations", "generations", "edits", "variations"), Kind.VALUES),
    **dict.fromkeys(("transcriptions", "translations", "invoke"), Kind.ANY),
}
# By the key that tells the shape of a reply; the others may be either.
KINDS_OF_KEYS = {
    **dict.fromkeys(("choices", "candidates", "promptFeedback", "message", "content", "response", "generated_text"), Kind.TEXT),
    **dict.fromkeys(("results", "embeddings", "embedding", "data", "[]"), Kind.VALUES),
}
ONE_FOR_EACH = frozenset({"embeddings", "embed", "batchEmbedContents", "moderations"})  # endpoints that give a value for each input


class _Inputs(msgspec.Struct, gc=False):
    """What a request asks values of."""

    input: msgspec.Raw = NULL
    texts: msgspec.Raw = NULL
    inputs: msgspec.Raw = NULL
    requests: msgspec.Raw = NULL


@cache
def _inputs_decoder() -> msgspec.json.Decoder[_Inputs]:
    return msgspec.json.Decoder(_Inputs)


@lru_cache(maxsize=256)
def endpoint_of(url: str) -> str:
    """The last part of a url."""
    return url.partition("?")[0].rstrip("/").rpartition("/")[2].rpartition(":")[2]


@lru_cache(maxsize=256)
def kind_promised(url: str) -> Kind | None:
    """What a url gives; None if its endpoint is not known."""
    return ENDPOINTS.get(endpoint_of(url))


class Promise(msgspec.Struct, frozen=True, gc=False):
    """What a request was promised. asked: its body. empty_fits: an answer may have nothing in it."""

    url: str
    asked: bytes = b""
    empty_fits: bool = False

    @property
    def known(self) -> bool:
        """Whether the endpoint's answers have a known shape, so that a reply in none of them is no answer."""
        return kind_promised(self.url) is not None

    def broken_by(self, reply: Object, reading: Reading, body: bytes) -> str | None:
        """What is wrong with an answer that is right in itself; None if nothing is."""
        promised, given = kind_promised(self.url), KINDS_OF_KEYS.get(reading.key)
        if {promised, given} == {Kind.TEXT, Kind.VALUES}:
            return f"an answer of another kind of endpoint than {endpoint_of(self.url)}"
        if given is not Kind.VALUES or endpoint_of(self.url) not in ONE_FOR_EACH:
            return None
        count = reading.count
        if not count:
            from pipeline.core.answers.shapes_values import has_too_many  # noqa: PLC0415  a run of chat completions does not need it

            values = msgspec.Raw(body) if reading.key == "[]" else reply[reading.key]
            if not is_list(values) or has_too_many(values):
                return None
            count = len(items_of(values))
        asked = _inputs_in(self.asked)
        return f"{count} values for {asked} inputs" if count < asked else None


def _inputs_in(body: bytes) -> int:
    """How many inputs a request has; 0 if that cannot be told. A list of numbers is one text as tokens."""
    try:
        inputs = _inputs_decoder().decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return 0
    for given in (inputs.input, inputs.texts, inputs.inputs, inputs.requests):
        items = items_of(given)
        if items and (memoryview(items[0])[0] in b'"[{'):
            return len(items)
        if items or is_text(given):
            return 1
    return 0

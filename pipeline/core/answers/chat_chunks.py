"""The chunks of a streamed completion as types: every key that servers send in ordinary chunks, and no other."""

from __future__ import annotations

import msgspec

from pipeline.core.answers.parts import NULL


class Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of a message."""

    content: str | None = None
    role: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class ChoicePart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of a choice."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    text: str | None = None
    logprobs: None = None
    stop_reason: None = None
    matched_stop: None = None
    native_finish_reason: None = None


class LooseChunk(msgspec.Struct, gc=False):
    """A chunk with keys at its top that no other server sends."""

    choices: list[ChoicePart] | None = None
    usage: msgspec.Raw = NULL
    id: msgspec.Raw = NULL
    created: msgspec.Raw = NULL
    model: msgspec.Raw = NULL
    system_fingerprint: msgspec.Raw = NULL
    service_tier: msgspec.Raw = NULL
    provider: msgspec.Raw = NULL


class Chunk(LooseChunk, gc=False, forbid_unknown_fields=True):
    """An ordinary chunk."""

    object: msgspec.Raw = NULL
    obfuscation: msgspec.Raw = NULL


decode_loose = msgspec.json.Decoder(list[LooseChunk]).decode
decode_tops = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
decode_chunks = msgspec.json.Decoder(list[Chunk]).decode

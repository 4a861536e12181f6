"""Reads the commonest reply, a chat completion of one choice in which content says all, by one typed decode.

The structs name every key that may stand in such a reply without adding to its content; any other key, and any value that adds
something, makes the decode fail, and the general way (`shapes`) is taken. So both ways say the same, which a test holds; this
one takes 1.6 µs where the general one takes 8.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pipeline.core.answers.parts import BROKEN_OFF, FINISH_REASONS, NULL, Reading, is_object, is_text

Nothing = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=0)] | None


class _Message(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    content: msgspec.Raw
    role: msgspec.Raw = NULL
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None
    tool_calls: Nothing = None
    reasoning_content: None = None
    reasoning: None = None


class _Choice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    message: _Message
    finish_reason: str | None = None
    index: msgspec.Raw = NULL
    logprobs: None = None
    stop_reason: msgspec.Raw = NULL
    matched_stop: msgspec.Raw = NULL
    native_finish_reason: msgspec.Raw = NULL
    content_filter_results: msgspec.Raw = NULL
    error: None = None


class _Chat(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]
    usage: msgspec.Raw = NULL
    id: msgspec.Raw = NULL
    object: msgspec.Raw = NULL
    created: msgspec.Raw = NULL
    model: msgspec.Raw = NULL
    service_tier: msgspec.Raw = NULL
    system_fingerprint: msgspec.Raw = NULL
    provider: msgspec.Raw = NULL
    prompt_filter_results: msgspec.Raw = NULL
    prompt_logprobs: None = None
    kv_transfer_params: None = None
    error: None = None


_decode = msgspec.json.Decoder(_Chat).decode


def read_plain_chat(body: bytes) -> Reading | None:
    """What a plain chat completion says; None for any other reply."""
    try:
        chat = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    choice = chat.choices[0]
    content, reason = choice.message.content, choice.finish_reason
    if not is_text(content) or not is_object(chat.usage) or reason in BROKEN_OFF:
        return None
    return Reading(content, True, FINISH_REASONS.get(reason, reason) if reason else None, chat.usage, key="choices")

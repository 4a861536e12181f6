"""Makes the request for another answer out of the one whose answer did not fit.

Feedback puts the last bad answer and the reason behind the prompt, and nothing of earlier ones: a conversation that keeps every bad
answer grows, and so does its price, with each attempt. A cut answer is never put there, because a broken beginning is copied on.
Only what must change is decoded; the rest of the body stays the bytes that it was.
"""

from __future__ import annotations

from typing import Any

import msgspec

FEEDBACK = "Your answer cannot be used: {reason}\nAnswer again, and give only the answer."
MAX_ANSWER = 8_000  # characters of a bad answer that are shown again; what is wrong with a longer one is told by the reason

_Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(_Fields).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# Where requests say how long an answer may get.
LENGTHS = (
    ("max_tokens",),
    ("max_completion_tokens",),
    ("max_output_tokens",),
    ("generationConfig", "maxOutputTokens"),
    ("options", "num_predict"),
    ("inferenceConfig", "maxTokens"),  # Bedrock
    ("parameters", "max_new_tokens"),  # Text Generation Inference
    ("parameters", "max_tokens"),  # DashScope
    ("n_predict",),  # llama.cpp
)


def with_feedback(body: bytes, answer: str, reason: str) -> bytes | None:
    """The request with the bad answer and the reason behind its prompt; None where no place for them is known."""
    fields = _fields(body)
    said = FEEDBACK.format(reason=reason)
    answer = answer[:MAX_ANSWER]
    if "messages" in fields:
        return _appended(
            fields, "messages", _turns(answer, said, in_parts="inferenceConfig" in fields or _has_bare_parts(fields["messages"]))
        )
    if "input" in fields and (inner := _fields(bytes(fields["input"]))):  # DashScope
        again = with_feedback(bytes(fields["input"]), answer, reason) if not inner.keys().isdisjoint(("messages", "prompt")) else None
        return None if again is None else _encode({**fields, "input": msgspec.Raw(again)})
    if "contents" in fields:
        turns = [{"role": role, "parts": [{"text": text}]} for role, text in (("model", answer), ("user", said))]
        return _appended(fields, "contents", turns)
    turns = _turns(answer, said)
    if "input" in fields:
        if bytes(fields["input"]).startswith(b'"'):
            fields["input"] = _raw([{"role": "user", "content": _decode_any(fields["input"])}])
        return _appended(fields, "input", turns)
    if "prompt" in fields and bytes(fields["prompt"]).startswith(b'"'):
        fields["prompt"] = _raw(f"{_decode_any(fields['prompt'])}\n\n{answer}\n\n{said}\n\n")
        return _encode(fields)
    return None


def with_longer_answer(body: bytes, most: int) -> bytes | None:
    """The request with twice the length for its answer, `most` tokens at most; None if it sets none or has all of it."""
    fields = _fields(body)
    grown = False
    for outer, *inner in LENGTHS:
        if outer in fields:
            value = _decode_any(fields[outer])
            longer = _longer(value, inner, most)
            if longer is not None:
                fields[outer] = _raw(longer)
                grown = True
    return _encode(fields) if grown else None


def _turns(answer: str, said: str, *, in_parts: bool = False) -> list[dict[str, Any]]:
    """The two turns that are added. in_parts: texts are no contents there, but parts of one."""
    pairs = (("assistant", answer), ("user", said))
    return [{"role": role, "content": [{"text": text}] if in_parts else text} for role, text in pairs]


def _has_bare_parts(messages: msgspec.Raw) -> bool:
    """Whether contents are lists of parts without a type (Bedrock): a plain text would be refused there."""
    try:
        contents = [message.get("content") for message in _decode_any(messages)]
    except (msgspec.DecodeError, UnicodeError, RecursionError, AttributeError, TypeError):
        return False
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return bool(parts) and all(isinstance(part, dict) and "type" not in part for part in parts)


def _longer(value: Any, inner: list[str], most: int) -> Any:
    """A value with the number at `inner` doubled; None if there is none, or no more is allowed."""
    if inner:
        below = _longer(value.get(inner[0]), inner[1:], most) if isinstance(value, dict) else None
        return None if below is None else {**value, inner[0]: below}
    return min(2 * value, most) if type(value) is int and 0 < value < most else None


def _fields(body: bytes) -> _Fields:
    try:
        return _decode_fields(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}


def _appended(fields: _Fields, key: str, turns: list[dict[str, Any]]) -> bytes | None:
    try:
        before = _decode_list(fields[key])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    fields[key] = _raw([*before, *turns])
    return _encode(fields)


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(_encode(value))

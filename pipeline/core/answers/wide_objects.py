"""Reads of an object with very many keys only those that mean something in some reply."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

UNREAD = "(more)"  # stands for the other keys
KNOWN_KEYS = (  # that are looked for in any object
    *("audio", "base_resp", "blockReason", "candidates", "choices", "code", "content", "data", "detail", "details", "done"),
    *("done_reason", "embedding", "embeddings", "error", "error_code", "error_msg", "eval_count", "finishReason", "finish_reason"),
    *("functionCall", "function_call", "generated_text", "generated_tokens", "id", "incomplete_details", "index", "label", "message"),
    *("meta", "object", "output", "parts", "promptFeedback", "prompt_eval_count", "reason", "reasoning", "reasoning_content"),
    *("refusal", "response", "results", "role", "score", "status", "status_code", "stopReason", "stop_reason", "stop_type", "success"),
    *("text", "thinking", "thought", "token", "tokens_evaluated", "tokens_predicted", "toolUse", "tool_calls", "transcript"),
    *("truncated", "type", "usage", "usageMetadata", "values", "x_groq", "b64_json", "url", "probs", "relevance_score", "text_index"),
    *("completion", "completionReason", "generated_token_count", "generation", "generation_token_count", "generations"),
    *("inputTextTokenCount", "input_token_count", "outputText", "outputs", "predictions", "prompt_token_count", "rankings", "result"),
    "tokenCount",
    # of errors
    *("__type", "errors", "error_description", "error_type", "estimated_time", "innererror", "limit_type", "metadata", "msg", "quotaId"),
    *("rate_limit_type", "retryDelay", "retry_after", "status_msg", "violations"),
)

Object = dict[str, msgspec.Raw]


def known_keys_of(raw: msgspec.Raw | bytes) -> Object:
    """A key costs a microsecond, and 60 MB can have four million. What is left out is something: the object says more than it shows."""
    try:
        known = _known_decoder().decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return {}
    values = zip(KNOWN_KEYS, msgspec.structs.astuple(known), strict=True)
    return {**{key: value for key, value in values if memoryview(value)}, UNREAD: msgspec.Raw(b"true")}


@cache
def _known_decoder() -> msgspec.json.Decoder[Any]:
    keys = {f"key_{number}": key for number, key in enumerate(KNOWN_KEYS)}
    fields = [(name, msgspec.Raw, msgspec.Raw()) for name in keys]
    return msgspec.json.Decoder(msgspec.defstruct("Known", fields, rename=keys, gc=False))

"""Reads the tokens that a reply says it used. The only place that knows how providers count; whatever they send, it never raises.

Sources: API references of OpenAI, Anthropic (`input_tokens` leaves the cache out), Google (thoughts stand beside the
candidates), Cohere, Ollama, llama.cpp, Text Generation Inference, AWS Bedrock (Converse), xAI (reasoning beside the completion).
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import msgspec

from pipeline.records import NO_USAGE, Usage

MAX_TOKENS = 100_000_000  # no model reads or writes so much at once: beyond it, as below 0, stands a mistake and no count
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _Written(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None


class Counts(msgspec.Struct, gc=False):
    """The `usage` object of OpenAI's APIs, and of all that imitate them."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    # The Responses API; Anthropic's messages with the two cache counts beside
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _PromptDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _Written | None = None
    # DeepSeek, Moonshot
    prompt_cache_hit_tokens: Count | None = None
    cached_tokens: Count | None = None


# Where other providers' names for the same counts stand; a dot goes into an object.
_ALIASES = {
    "prompt_tokens": ("promptTokenCount", "inputTokens", "inputTextTokenCount", "tokens.input_tokens", "billed_units.input_tokens",
                      "prompt_eval_count", "tokens_evaluated", "prompt_token_count", "input_token_count"),
    "completion_tokens": ("candidatesTokenCount", "outputTokens", "tokens.output_tokens", "billed_units.output_tokens", "eval_count",
                          "tokens_predicted", "generated_tokens", "generation_token_count", "generated_token_count", "tokenCount"),
    "total_tokens": ("totalTokenCount", "totalTokens"),
    "cached": ("cachedContentTokenCount", "cacheReadInputTokens", "cached_tokens", "prompt_cache_hit_tokens"),
    "written": ("cacheWriteInputTokens",),
    "reasoning": ("thoughtsTokenCount", "reasoning_tokens"),
}  # fmt: skip
_BESIDE_THE_PROMPT = ("toolUsePromptTokenCount",)  # Google: results of tools, sent to the model again


@cache
def _counts_decoder() -> msgspec.json.Decoder[Counts]:
    return msgspec.json.Decoder(Counts)


_decode_any = msgspec.json.Decoder().decode


def read_usage(usage: bytes | msgspec.Raw) -> Usage:
    """The tokens of a usage object of any provider, as JSON; of each count 0 where it does not say."""
    try:
        counts = _counts_decoder().decode(usage)
    except (msgspec.DecodeError, RecursionError):
        return _read_unusual(usage)
    found = usage_of(counts)
    return _read_unusual(usage) if found is NO_USAGE else found


def usage_of(counts: Counts | None) -> Usage:
    """The tokens of a usage object that is in OpenAI's or Anthropic's words."""
    if counts is None:
        return NO_USAGE
    inputs, outputs = counts.prompt_tokens_details or counts.input_tokens_details, counts.completion_tokens_details
    cached = written = reasoning = 0
    if inputs is not None:
        cached, written = inputs.cached_tokens or 0, inputs.cache_write_tokens or 0
    if (outputs := outputs or counts.output_tokens_details) is not None:
        reasoning = outputs.reasoning_tokens or 0
    prompt, output, total = counts.prompt_tokens or 0, counts.completion_tokens or counts.output_tokens or 0, counts.total_tokens or 0
    if prompt:  # relays of Anthropic's models tell what was written in its words; whether the prompt includes what was read is not sure
        cached = cached or counts.prompt_cache_hit_tokens or counts.cached_tokens or 0
        written = written or counts.cache_creation_input_tokens or 0
        if cached + written > prompt:
            cached, written = min(cached, prompt), 0
    elif counts.input_tokens is not None:
        cached, written = counts.cache_read_input_tokens or cached, counts.cache_creation_input_tokens or written
        prompt = counts.input_tokens + (counts.cache_read_input_tokens or 0) + (counts.cache_creation_input_tokens or 0)
    if not (prompt or output or total):
        return NO_USAGE
    if reasoning and total == prompt + output + reasoning:
        output += reasoning  # xAI counts them beside the completion
    for_an_hour = 0 if counts.cache_creation is None else counts.cache_creation.ephemeral_1h_input_tokens or 0
    return Usage(prompt, output, total or prompt + output, cached, written, reasoning, min(for_an_hour, written))


def add_usage(one: Usage, other: Usage) -> Usage:
    """The tokens of two answers together."""
    if other is NO_USAGE:
        return one
    return Usage(*(a + b for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)))


def _read_unusual(usage: bytes | msgspec.Raw) -> Usage:
    """Counts as floats or text, one of them impossible, or in the words of another provider."""
    try:
        value = _decode_any(usage)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return NO_USAGE
    if not isinstance(value, dict):
        return NO_USAGE
    cached, written, reasoning = (_first(value, _ALIASES[name]) for name in ("cached", "written", "reasoning"))
    if "promptTokenCount" in value:  # Google: thoughts and tool results are counted beside
        prompt = _first(value, ("promptTokenCount",)) + _first(value, _BESIDE_THE_PROMPT)
        output = _first(value, ("candidatesTokenCount",)) + reasoning
        return Usage(prompt, output, _first(value, ("totalTokenCount",)) or prompt + output, cached, written, reasoning)
    if "inputTokens" in value and "prompt_tokens" not in value:  # Bedrock: like Anthropic, without the cache
        prompt, output = _first(value, ("inputTokens",)) + cached + written, _first(value, ("outputTokens",))
        return Usage(prompt, output, prompt + output, cached, written, reasoning)
    flat: dict[str, Any] = {
        name: _count(value.get(name)) for name in Counts.__struct_fields__ if not name.endswith(("_details", "_creation"))
    }
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        flat[name] = flat[name] or _first(value, _ALIASES[name]) or None
    counts = Counts(
        **flat,
        prompt_tokens_details=_PromptDetails(
            _details(value, "cached_tokens", "prompt_tokens_details", "input_tokens_details") or cached or None,
            _details(value, "cache_write_tokens", "prompt_tokens_details", "input_tokens_details") or None,
        ),
        completion_tokens_details=_OutputDetails(
            _details(value, "reasoning_tokens", "completion_tokens_details", "output_tokens_details") or reasoning or None
        ),
    )
    return usage_of(counts)


def _details(value: dict[str, Any], name: str, *places: str) -> int:
    return _first(value, tuple(f"{place}.{name}" for place in places))


def _first(value: dict[str, Any], names: tuple[str, ...]) -> int:
    """The first count that is there under one of these names, or 0."""
    for name in names:
        found: Any = value
        for key in name.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if count := _count(found):
            return count
    return 0


def _count(value: Any) -> int | None:
    """A count, also as a float (14417.92) or as text; None for anything that cannot be one."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MAX_TOKENS else None

"""What the replies of all known endpoints look like: one table, from shape to what a reply in it says.

A shape is found by the keys that are there, not by the url: relays answer in the shape that they know. What the url promises is
in `endpoints`. Whatever a reply looks like, reading it never raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.parts import (
    NULL,
    Object,
    Reading,
    head_of,
    is_list,
    is_object,
    is_text,
    may_have_many,
    object_of,
    present,
    says_more,
    text_of,
)
from pipeline.core.answers.plain_chat import read_plain_chat
from pipeline.core.answers.plain_vectors import read_plain_vectors
from pipeline.core.answers.shapes_native import (
    read_blocks,
    read_candidates,
    read_generated,
    read_llama,
    read_message,
    read_output,
    read_tgi,
)
from pipeline.core.answers.shapes_openai import read_choices, read_response
from pipeline.core.answers.shapes_texts import (
    read_pieces,
    read_text,
    read_texts,
    text_key_of,
)
from pipeline.core.answers.shapes_values import (
    read_data,
    read_embedding,
    read_embeddings,
    read_list,
    read_predictions,
    read_rankings,
    read_results,
    read_transcription,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def anything(_: msgspec.Raw) -> bool:
    """Fits a value of any type: the key alone tells the shape, and what is wrong in it is a problem of the answer."""
    return True


def output_of_response(raw: msgspec.Raw) -> bool:
    """Fits the output of the Responses API: typed items, or nothing."""
    first = head_of(raw).first if is_list(raw) else NULL
    return raw == NULL or (is_list(raw) and (not memoryview(first) or "type" in object_of(first)))


def text_or_texts(raw: msgspec.Raw) -> bool:
    """Fits a text, and a list that begins with one."""
    first = head_of(raw).first if is_list(raw) else raw
    return bool(memoryview(first)) and is_text(first)


def list_of_texts(raw: msgspec.Raw) -> bool:
    """Fits a list of objects that hold a text each."""
    return is_list(raw) and text_key_of(object_of(head_of(raw).first or b"{}")) is not None


def envelope(raw: msgspec.Raw) -> bool:
    """Fits an object that holds an answer of a known shape."""
    return is_object(raw) and not ENCLOSED.isdisjoint(object_of(raw))


def list_or_object(raw: msgspec.Raw) -> bool:
    """Fits a list and an object."""
    return is_list(raw) or is_object(raw)


ENCLOSED = frozenset({"choices", "candidates", "response", "content", "generated_text", "embeddings", "embedding", "results", "output"})

# How the type of an event begins that is a piece of a streamed answer: by itself it is none.
PIECES = ("response.", "transcript.text.", "image_generation.", "image_edit.", "message_", "message-", "content_block", "content-")


def piece(raw: msgspec.Raw) -> bool:
    """Fits the type of an event of a stream."""
    return (text_of(raw) or "").startswith(PIECES)


def read_envelope(key: str) -> Callable[[Object], Reading]:
    """Reads the answer that a relay or Cloudflare put under a key of its own."""

    def read(reply: Object) -> Reading:
        return read_object(object_of(reply[key])) or Reading(problem=f"nothing known under {key}")

    return read


def read_piece(_: Object) -> Reading:
    """One event of a stream, of which no other came."""
    return Reading(problem="one piece of a streamed answer")


# Key, what its value must be for the shape to be this one, and who reads it. The first that fits is taken.
SHAPES: tuple[tuple[str, Callable[[msgspec.Raw], bool], Callable[[Object], Reading]], ...] = (
    ("type", piece, read_piece),
    ("choices", anything, read_choices),
    ("output", is_object, read_output),
    ("output", output_of_response, read_response),
    ("output", text_or_texts, read_pieces),
    ("candidates", anything, read_candidates),
    ("promptFeedback", is_object, read_candidates),
    ("message", is_object, read_message),
    ("content", is_list, read_blocks),
    ("content", is_text, read_llama),
    ("response", is_text, read_generated),
    ("generated_text", is_text, read_tgi),
    ("token", is_object, read_piece),
    ("generation", is_text, read_text("generation")),
    ("completion", is_text, read_text("completion")),
    ("outputs", list_of_texts, read_texts("outputs")),
    ("generations", list_of_texts, read_texts("generations")),
    ("results", list_of_texts, read_texts("results")),
    ("results", is_list, read_results),
    ("rankings", is_list, read_rankings),
    ("predictions", is_list, read_predictions),
    ("embeddings", list_or_object, read_embeddings),
    ("embedding", list_or_object, read_embedding),
    ("data", is_list, read_data),
    ("data", envelope, read_envelope("data")),
    ("result", envelope, read_envelope("result")),
    ("result", is_text, read_text("result")),
    ("text", is_text, read_transcription),
)

USAGE_KEYS = ("usage", "usageMetadata")
COUNT_KEYS = (  # of Ollama, llama.cpp and models on Bedrock, at the top
    *("prompt_eval_count", "eval_count", "tokens_evaluated", "tokens_predicted"),
    *("prompt_token_count", "generation_token_count", "inputTextTokenCount"),
)

# Names, times and counts that may stand at the top of a reply of any shape: its content is complete without them.
PLAIN = frozenset(
    {
        *("id", "object", "type", "created", "created_at", "completed_at", "model", "role", "status", "usage", "error", "provider"),
        *("finish_reason", "stop_reason", "stop_sequence", "stop_details", "service_tier"),
        *("system_fingerprint", "prompt_filter_results", "x_groq", "request_id", "requestId", "base_resp", "input_sensitive"),
        *("output_sensitive", "usageMetadata", "modelVersion", "responseId", "createTime", "meta", "done", "done_reason"),
        *("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"),
        *("generation_settings", "prompt", "id_slot", "index", "timings", "tokens_cached", "tokens_evaluated", "tokens_predicted"),
        *("truncated", "stop", "stop_type", "stopping_word", "stopped_eos", "stopped_limit", "stopped_word", "has_new_line"),
        *("details", "metrics", "stopReason", "duration", "language", "task", "background", "size", "quality", "output_format"),
        # What a response of the Responses API says again of its request
        *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "previous_response_id"),
        *("prompt_cache_key", "prompt_cache_retention", "reasoning", "safety_identifier", "store", "temperature", "tool_choice"),
        *("tools", "top_logprobs", "top_p", "truncation", "user", "incomplete_details", "billing", "frequency_penalty"),
        *("presence_penalty", "kv_transfer_params", "sla_metrics", "success", "code", "is_truncated", "model_id", *COUNT_KEYS),
    }
)


def read_reply(body: bytes) -> Reading:
    """What a reply says. One without any known shape has no content, and is not complete without itself."""
    reading = read_plain_chat(body) or read_plain_vectors(body)
    if reading is not None:
        return reading
    if body.startswith(b"["):
        return read_any_list(body)
    reply = object_of(body)
    reading = read_object(reply)
    return reading or Reading(complete=False, usage=find_usage(reply))


def read_written(body: bytes) -> Reading:
    """What the body of a batch line says, in which a bare list stands alone under `data`."""
    reading = read_reply(body)
    if reading.key == "data" and (reply := object_of(body)).keys() == {"data"}:
        return read_any_list(bytes(reply["data"]))
    return reading


def read_any_list(body: bytes) -> Reading:
    """What a bare list says. One completion in a list is that completion."""
    head = head_of(body)
    only = object_of(head.first) if memoryview(head.first) and not memoryview(head.second) else {}
    reading = read_object(only) if "choices" in only or "message" in only else None
    return reading or read_list(body)


def read_object(reply: Object) -> Reading | None:
    """What a reply says that is an object; None if it is in no known shape."""
    for key, fits, read in SHAPES:
        value = reply.get(key)
        if value is not None and fits(value):
            reading = read(reply)
            reading.key = reading.key or key
            if reading.usage is NULL or "usage" in reply:
                reading.usage = find_usage(reply)
            reading.complete = reading.complete and not says_more(reply, PLAIN, key) and not may_have_many(value)
            return reading
    return None


def find_usage(reply: Object) -> msgspec.Raw:
    """The object in which a reply reports the tokens that it used; null if there is none."""
    for key in USAGE_KEYS:
        if key in reply and is_object(reply[key]):
            return reply[key]
    if is_object(reply.get("meta", NULL)):  # Cohere's first version and its rankings
        return reply["meta"]
    if "x_groq" in reply:
        return object_of(reply["x_groq"]).get("usage", NULL)
    counts = {key: reply[key] for key in COUNT_KEYS if key in reply}
    if counts:
        return msgspec.Raw(msgspec.json.encode(counts))
    generated = object_of(reply["details"]).get("generated_tokens") if "details" in reply else None
    return NULL if generated is None else msgspec.Raw(msgspec.json.encode({"generated_tokens": generated}))


def is_unknown_error(reply: Object) -> bool:
    """Whether a reply in no known shape says by its marks that it is an error."""
    if bytes(reply.get("object", NULL)) == b'"error"' or bytes(reply.get("type", NULL)) == b'"error"':
        return True
    if bytes(reply.get("success", NULL)) == b"false" or present(reply.get("error_code")) or present(reply.get("error_msg")):
        return True
    return bytes(object_of(reply.get("base_resp")).get("status_code", b"0")) != b"0"

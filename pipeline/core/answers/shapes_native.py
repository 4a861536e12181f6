"""The shapes of other providers' own APIs for text.

Anthropic, Google, Cohere, Ollama, llama.cpp, Text Generation Inference, AWS Bedrock and DashScope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.answers.parts import (
    BROKEN_OFF,
    NULL,
    Object,
    Reading,
    as_text,
    finish,
    has_no_text,
    is_list,
    is_object,
    is_text,
    joined,
    nothing_said,
    object_of,
    objects_of,
    one_or_list,
    present,
    says_more,
    text_of,
)
from pipeline.core.answers.shapes_openai import read_choices
from pipeline.core.answers.shapes_values import by_index, read_results

if TYPE_CHECKING:
    import msgspec

PLAIN_BLOCK = frozenset({"type", "text"})
PLAIN_MESSAGE = frozenset({"role", "content"})
PLAIN_CANDIDATE = frozenset({"content", "finishReason", "index", "safetyRatings", "avgLogprobs", "tokenCount"})
PLAIN_CONTENT = frozenset({"parts", "role"})
ORDINARY_STOPS = ("end_turn", "max_tokens", None)  # after any other the reply says more: which sequence it was, what was refused
LOADED = ("load", "unload")  # Ollama: there was no prompt, or only a model was to be put into memory
TOOLS = ("tool_use", "toolUse", "server_tool_use", "mcp_tool_use")


def read_blocks(reply: Object) -> Reading:
    """Anthropic's messages: content is a list of blocks."""
    reason = finish(reply.get("stop_reason"))
    blocks = objects_of(reply["content"])
    if not blocks and reason is None:
        return Reading(problem="no content")
    if not blocks and text_of(reply.get("stop_reason")) != "stop_sequence":  # which may be the first thing that the model says
        return nothing_said("content with nothing in it", reason, complete=text_of(reply.get("stop_reason")) in ORDINARY_STOPS)
    if blocks and all(map(has_no_text, blocks)):
        return Reading(problem="blocks whose text is none")
    content, whole = _blocks(blocks)
    return Reading(content, whole and text_of(reply.get("stop_reason")) in ORDINARY_STOPS, reason)


def _blocks(blocks: list[Object]) -> tuple[msgspec.Raw, bool]:
    """The texts of a list of blocks, else its calls of tools; and whether that is all that the blocks say."""
    texts = [text_of(block.get("text")) for block in blocks if text_of(block.get("type")) in ("text", None)]
    whole = all("text" in block and not says_more(block, PLAIN_BLOCK) for block in blocks)
    if any(text is not None for text in texts):
        return joined(texts), whole
    return as_text([block for block in blocks if text_of(block.get("type")) in TOOLS or "toolUse" in block]), False


def read_message(reply: Object) -> Reading:
    """The chats of Ollama (content is a text) and Cohere (content is a list of blocks)."""
    if bytes(reply.get("done", NULL)) == b"false":
        return Reading(problem="an answer that is not done")
    message = object_of(reply["message"])
    content = message.get("content", NULL)
    reason = finish(reply.get("done_reason") or reply.get("finish_reason"))
    if reason in BROKEN_OFF or text_of(reply.get("done_reason")) in LOADED:
        return Reading(problem=f'an answer that ended with "{reason}"', final=reason in LOADED)
    read, whole = _blocks(objects_of(content)) if is_list(content) else (content if is_text(content) else NULL, True)
    calls = objects_of(message.get("tool_calls"))
    if calls and not present(read):
        return Reading(as_text(calls), complete=False, finish_reason="tool_calls")
    if read is NULL and reason is None:
        return Reading(problem="a message without content")
    if read is NULL and not says_more(message, PLAIN_MESSAGE) and not objects_of(content):
        return nothing_said("a message with nothing in it", reason)
    return Reading(read, whole and not says_more(message, PLAIN_MESSAGE), reason)


def read_generated(reply: Object) -> Reading:
    """Ollama's /api/generate."""
    if bytes(reply.get("done", NULL)) == b"false":
        return Reading(problem="an answer that is not done")
    if (reason := text_of(reply.get("done_reason"))) in LOADED:
        return Reading(problem=f'an answer that ended with "{reason}"', final=True)
    return Reading(reply["response"], finish_reason=finish(reply.get("done_reason")))


def read_llama(reply: Object) -> Reading:
    """The /completion of llama.cpp, and Anthropic's messages as relays send them, with one text as the content."""
    if bytes(reply.get("stop", NULL)) == b"false":
        return Reading(problem="an answer that is not done")
    return Reading(reply["content"], finish_reason=finish(reply.get("stop_type") or reply.get("stop_reason")))


def read_tgi(reply: Object) -> Reading:
    """The /generate of Text Generation Inference."""
    details = object_of(reply.get("details"))
    whole = not says_more(details, frozenset({"finish_reason", "generated_tokens", "seed"}))
    return Reading(reply["generated_text"], whole, finish(details.get("finish_reason")))


def read_output(reply: Object) -> Reading:
    """An `output` that is an object: AWS Bedrock (Converse) holds a message in it, DashScope choices or a text."""
    output = object_of(reply["output"])
    if is_object(output.get("message", NULL)):
        message = object_of(output["message"])
        reason = finish(reply.get("stopReason"))
        content, whole = _blocks(objects_of(message.get("content")))
        if content is NULL and reason is None:
            return Reading(problem="a message without content")
        if not present(message.get("content")) and reason != "stop_sequence":
            return nothing_said("a message with nothing in it", reason)
        return Reading(content, whole and not says_more(message, PLAIN_MESSAGE), reason)
    if "choices" in output and is_list(output["choices"]):
        return read_choices(output)
    if is_text(output.get("text", NULL)):
        return Reading(output["text"], finish_reason=finish(output.get("finish_reason")))
    if is_list(output.get("embeddings", NULL)):
        return Reading(by_index(output["embeddings"]) or output["embeddings"])
    if is_list(output.get("results", NULL)):
        return read_results(output)
    return Reading(problem="an output that holds no answer")


# ---- Google ------------------------------------------------------------------------------------------------------------


def read_candidates(reply: Object) -> Reading:
    """Google's generateContent. A prompt that was blocked has no candidate, and is answered by that."""
    candidates = objects_of(reply.get("candidates"))
    if not candidates:
        blocked = object_of(reply.get("promptFeedback")).get("blockReason")
        return Reading(complete=False, finish_reason="content_filter") if present(blocked) else Reading(problem="no candidates")
    read = [_candidate(candidate) for candidate in candidates]
    reason = finish(candidates[0].get("finishReason"))
    if reason is None and all(content is NULL for content, _ in read):
        return Reading(problem="candidates that hold no answer")
    whole = all(whole for _, whole in read)
    parts = [part for candidate in candidates for part in _parts(candidate)]
    if parts and all(map(has_no_text, parts)):
        return Reading(problem="parts whose text is none")
    if not parts:
        return nothing_said("candidates with nothing in them", reason, complete=whole)
    if reason == "stop" and any("functionCall" in part for part in parts):
        reason = "tool_calls"
    return Reading(one_or_list([content for content, _ in read]), whole, reason)


def _parts(candidate: Object) -> list[Object]:
    return objects_of(object_of(candidate.get("content")).get("parts"))


def _candidate(candidate: Object) -> tuple[msgspec.Raw, bool]:
    parts = _parts(candidate)
    spoken = [part for part in parts if "text" in part and bytes(part.get("thought", NULL)) != b"true"]
    whole = all(set(part) == {"text"} for part in parts) and not says_more(candidate, PLAIN_CANDIDATE)
    if spoken:
        return joined(text_of(part["text"]) for part in spoken), whole
    return as_text([object_of(part["functionCall"]) for part in parts if "functionCall" in part]), whole and not parts

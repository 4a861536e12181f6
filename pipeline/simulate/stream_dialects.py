"""The events of an answer in each dialect of streams. Pure: an answer in, frames out.

Source: OpenAI (chat, completions, responses), Anthropic ("Streaming messages"), Google (streamGenerateContent), Ollama ("Streaming");
what gateways and vendors add to OpenAI's chunks: Azure, DeepSeek, OpenRouter and Groq.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.simulate.answers import REFUSAL, Answered, Finish
from pipeline.simulate.choices import Vendor
from pipeline.simulate.shapes import (
    GEMINI_ENDS,
    OPENAI_ENDS,
    gemini_usage,
    messages,
    ollama_end,
    ollama_said,
    ollama_time,
    openai_usage,
    response_item,
    responses,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

JSON = dict[str, Any]


class Piece(Enum):
    """What a frame is for."""

    CONTENT = auto()
    DONE = auto()  # what only says that the stream is over: no part of the answer
    OTHER = auto()


class Frame(msgspec.Struct, frozen=True):
    """One event on the wire."""

    data: bytes
    piece: Piece = Piece.OTHER


def frames_of(answered: Answered, characters: int, vendor: Vendor) -> list[Frame]:
    """The frames of a whole stream. characters: of the content in one event."""
    return list(DIALECTS[answered.call.endpoint](answered, characters, vendor))


def data(body: JSON, piece: Piece = Piece.OTHER) -> Frame:
    """An event without a name."""
    return Frame(b"data: " + msgspec.json.encode(body) + b"\n\n", piece)


def named(body: JSON, piece: Piece = Piece.OTHER) -> Frame:
    """An event with the name of its type."""
    return Frame(f"event: {body['type']}\n".encode() + b"data: " + msgspec.json.encode(body) + b"\n\n", piece)


def comment(text: str) -> Frame:
    """A line that every client skips."""
    return Frame(f": {text}\n\n".encode())


def pieces(text: str, characters: int) -> list[str]:
    """A text in parts; an empty one is one part."""
    return [text[at : at + characters] for at in range(0, len(text), characters)] or [""]


def openai(answered: Answered, characters: int, vendor: Vendor) -> Iterator[Frame]:
    """Chat completions and completions: choices take turns, then each has its reason to end."""
    chat = answered.call.endpoint == "chat/completions"
    base = {
        "id": ("chatcmpl-" if chat else "cmpl-") + answered.name,
        "object": "chat.completion.chunk" if chat else "text_completion",
        "created": answered.created,
        "model": answered.call.model,
    }
    extra: JSON = {"usage": None} if answered.call.usage_asked else {}
    usage = openai_usage(answered)

    def chunk(index: int, said: JSON, end: str | None, piece: Piece = Piece.OTHER, **more: Any) -> Frame:
        delta = {"delta": said} if chat else {"text": said.get("content", "")}
        return data({**base, "choices": [{"index": index, **delta, "logprobs": None, "finish_reason": end}], **extra, **more}, piece)

    yield from _before(vendor, base)
    indices = range(len(answered.contents))
    if chat:
        yield from (chunk(index, {"role": "assistant", "content": ""}, None) for index in indices)
    refused = chat and answered.finish is Finish.REFUSED
    parts = [pieces(REFUSAL if refused else content, characters) for content in answered.contents]
    for turn in range(max(map(len, parts))):
        for index in indices:
            if turn < len(parts[index]):
                yield chunk(index, {"refusal" if refused else "content": parts[index][turn]}, None, Piece.CONTENT)
    for index in indices:
        last = _at_end(vendor, usage) if index == len(answered.contents) - 1 else {}
        yield chunk(index, {}, OPENAI_ENDS[answered.finish], **last)
    if answered.call.usage_asked:
        yield data({**base, "choices": [], "usage": usage})
    yield Frame(b"data: [DONE]\n\n", Piece.DONE)


def _before(vendor: Vendor, base: JSON) -> Iterator[Frame]:
    """What comes before the first chunk of a vendor."""
    if vendor is Vendor.AZURE:
        filters = {"prompt_index": 0, "content_filter_results": {}}
        yield data({**base, "id": "", "created": 0, "model": "", "object": "", "choices": [], "prompt_filter_results": [filters]})
    elif vendor is Vendor.OPENROUTER:
        yield from (comment("OPENROUTER PROCESSING") for _ in range(3))
    elif vendor is Vendor.DEEPSEEK:
        yield comment("keep-alive")


def _at_end(vendor: Vendor, usage: JSON) -> JSON:
    """What a vendor adds to the last chunk that has a choice: usage that nobody asked for."""
    if vendor is Vendor.DEEPSEEK:
        return {"usage": usage}
    return {"x_groq": {"id": "req_groq", "usage": usage}} if vendor is Vendor.GROQ else {}


def openai_responses(answered: Answered, characters: int, _vendor: Vendor) -> Iterator[Frame]:
    """Responses: the last event carries the whole object."""
    whole, number = responses(answered), count()
    begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    refused = answered.finish is Finish.REFUSED
    what = "refusal" if refused else "output_text"
    text = REFUSAL if refused else answered.contents[0]
    item = response_item(answered)
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}

    def event(kind: str, piece: Piece = Piece.OTHER, **more: Any) -> Frame:
        return named({"type": f"response.{kind}", "sequence_number": next(number), **more}, piece)

    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    yield event("output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []})
    empty = {"type": "refusal", "refusal": ""} if refused else {"type": "output_text", "text": "", "annotations": []}
    yield event("content_part.added", **at, part=empty)
    for piece in pieces(text, characters):
        yield event(f"{what}.delta", Piece.CONTENT, **at, delta=piece)
    done: JSON = {"refusal" if refused else "text": text}
    yield event(f"{what}.done", **at, **done)
    yield event("content_part.done", **at, part=item["content"][0])
    yield event("output_item.done", output_index=0, item=item)
    yield event(whole["status"], response=whole)


def anthropic(answered: Answered, characters: int, _vendor: Vendor) -> Iterator[Frame]:
    """Messages: a block of text with its deltas, a ping among them, the reason to end and the usage after them."""
    whole = messages(answered)
    usage = {**whole["usage"], "output_tokens": 1}
    yield named({"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": usage}})
    if whole["content"]:
        yield named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        yield named({"type": "ping"})
        for text in pieces(answered.contents[0], characters):
            yield named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}, Piece.CONTENT)
        yield named({"type": "content_block_stop", "index": 0})
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield named({"type": "message_delta", "delta": end, "usage": {"output_tokens": answered.output_tokens}})
    yield named({"type": "message_stop"}, Piece.DONE)


def gemini(answered: Answered, characters: int, _vendor: Vendor) -> Iterator[Frame]:
    """streamGenerateContent: each event is a whole answer with a part of the text; the last of a candidate has its reason to end."""
    base = {"usageMetadata": gemini_usage(answered), "modelVersion": answered.call.model, "responseId": answered.name}
    if answered.finish is Finish.REFUSED:
        yield data({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **base})
        return
    for index, content in enumerate(answered.contents):
        parts = pieces(content, characters)
        for number, text in enumerate(parts, start=1):
            candidate: JSON = {"content": {"parts": [{"text": text}], "role": "model"}, "index": index}
            if number == len(parts):
                candidate["finishReason"] = GEMINI_ENDS[answered.finish]
            yield data({"candidates": [candidate], **base}, Piece.CONTENT)


def ollama(answered: Answered, characters: int, _vendor: Vendor) -> Iterator[Frame]:
    """Ollama's own: one JSON object a line."""
    base = {"model": answered.call.model, "created_at": ollama_time(answered)}
    for text in pieces(answered.contents[0], characters):
        yield Frame(msgspec.json.encode({**base, **ollama_said(answered, text), "done": False}) + b"\n", Piece.CONTENT)
    yield Frame(msgspec.json.encode({**base, **ollama_said(answered, ""), **ollama_end(answered)}) + b"\n")


DIALECTS: dict[str, Callable[[Answered, int, Vendor], Iterator[Frame]]] = {
    "chat/completions": openai,
    "completions": openai,
    "responses": openai_responses,
    "messages": anthropic,
    "generateContent": gemini,
    "api/chat": ollama,
    "api/generate": ollama,
}

"""The inverse of the assembler: an answer becomes the events that its provider would have sent, and those become bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

Event = dict[str, Any]
Cut = Callable[[str], list[str]]  # a text in pieces


def chat_events(answer: Event, cut: Cut) -> Iterator[Event]:
    """A chat completion as chunks: roles, then every text in pieces, choice by choice and call by call in turn, reasons, usage."""
    top = {**{key: value for key, value in answer.items() if key not in ("choices", "usage")}, "object": "chat.completion.chunk"}

    def chunk(index: int, delta: Event, reason: str | None = None) -> Event:
        return {**top, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}

    for choice in answer["choices"]:
        message = choice["message"]
        yield chunk(choice["index"], {"role": message["role"], "content": None if message["content"] is None else ""})
    for index, delta in _in_turn([[(choice["index"], delta) for delta in _deltas(choice["message"], cut)] for choice in answer["choices"]]):
        yield chunk(index, delta)
    for choice in answer["choices"]:
        yield chunk(choice["index"], {}, choice["finish_reason"])
    if "usage" in answer:
        yield {**top, "choices": [], "usage": answer["usage"]}


def _deltas(message: Event, cut: Cut) -> Iterator[Event]:
    for key in ("reasoning_content", "content", "refusal"):
        if message.get(key) is not None:
            yield from ({key: piece} for piece in cut(message[key]))
    calls = message.get("tool_calls", [])
    for at, call in enumerate(calls):
        yield {
            "tool_calls": [
                {"index": at, "id": call["id"], "type": "function", "function": {"name": call["function"]["name"], "arguments": ""}}
            ]
        }
    yield from _in_turn(
        [
            [{"tool_calls": [{"index": at, "function": {"arguments": piece}}]} for piece in cut(call["function"]["arguments"])]
            for at, call in enumerate(calls)
        ]
    )


def _in_turn(rows: list[list[Any]]) -> Iterator[Any]:
    """One of each list after the other, as long as any is left."""
    for at in range(max(map(len, rows), default=0)):
        yield from (row[at] for row in rows if at < len(row))


def message_events(message: Event, cut: Cut) -> Iterator[Event]:
    """An Anthropic message as events."""
    usage = {**message["usage"], "output_tokens": 1}
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        key, delta = {
            "text": ("text", "text_delta"),
            "thinking": ("thinking", "thinking_delta"),
            "tool_use": ("input", "input_json_delta"),
        }[block["type"]]
        whole = json.dumps(block["input"]) if key == "input" else block[key]
        field = "partial_json" if key == "input" else key
        begun = {**block, key: {} if key == "input" else ""}
        if "signature" in block:
            begun["signature"] = ""
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        for piece in cut(whole):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": delta, field: piece}}
        if "signature" in block:
            yield {"type": "content_block_delta", "index": index, "delta": {"type": "signature_delta", "signature": block["signature"]}}
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": message["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def gemini_events(answer: Event, cut: Cut) -> Iterator[Event]:
    """A generateContent as events, each an answer with some more of the parts."""
    top = {key: value for key, value in answer.items() if key != "candidates"}
    for candidate in answer["candidates"]:
        for part in candidate["content"]["parts"]:
            for piece in [{**part, "text": text} for text in cut(part["text"])] if "text" in part else [part]:
                yield {**top, "candidates": [{"index": candidate["index"], "content": {"role": "model", "parts": [piece]}}]}
    for candidate in answer["candidates"]:
        yield {**top, "candidates": [{"index": candidate["index"], "finishReason": candidate["finishReason"]}]}


def response_events(response: Event, cut: Cut) -> Iterator[Event]:
    """A response of the Responses API as events."""
    yield {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}, "sequence_number": 0}
    for index, item in enumerate(response["output"]):
        for piece in cut(json.dumps(item)):
            yield {"type": "response.output_text.delta", "output_index": index, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{response['status']}", "response": response}


def ollama_events(answer: Event, cut: Cut) -> Iterator[Event]:
    """A chat of Ollama's own API as the objects of its lines."""
    for key in ("thinking", "content"):
        for piece in cut(answer["message"].get(key, "")):
            yield {"model": answer["model"], "message": {"role": "assistant", "content": "", key: piece}, "done": False}
    yield {**answer, "message": {"role": "assistant", "content": ""}}


def as_sse(events: list[Event], *, line_end: str, space: bool, names: bool, done: bool, mark: bool, comment: str | None) -> bytes:
    """Events as an event stream, written in one of the ways that are allowed."""
    lines: list[str] = []
    for event in events:
        if comment is not None:
            lines += [f":{comment}", ""]
        if names:
            lines += [f"event: {event.get('type', 'message')}", "id: 7"]
        lines += [f"data:{' ' if space else ''}{json.dumps(event, ensure_ascii=False)}", ""]
    if done:
        lines += [f"data:{' ' if space else ''}[DONE]", ""]
    text = "".join(line + line_end for line in lines)
    return ("\ufeff" if mark else "").encode() + text.encode("utf-8", "replace")


def as_lines(events: list[Event]) -> bytes:
    """Events as one object a line."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)

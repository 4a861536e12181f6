"""A plain reader of streams, dialect by dialect: what a careful client makes of the events. Slow, simple and independent of the product."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field


@define
class Read:
    """What a stream said. texts: by choice. ended: the reasons to end, by choice. error: an event that reports one."""

    texts: dict[int, str] = field(factory=dict)
    ended: dict[int, str] = field(factory=dict)
    usage: tuple[int, int] | None = None
    error: Any = None
    refused: bool = False

    def add(self, index: int, text: str | None, end: str | None = None) -> None:
        self.texts[index] = self.texts.get(index, "") + (text or "")
        if end:
            self.ended[index] = end


def events_of(body: bytes) -> list[Any]:
    """The JSON of every event of an SSE body, without `[DONE]`."""
    found = []
    for block in body.split(b"\n\n"):
        lines = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
        if lines and lines != [b"[DONE]"]:
            found.append(json.loads(b"\n".join(lines)))
    return found


def read_stream(endpoint: str, body: bytes) -> Read:
    """Read a stream of an endpoint."""
    read = Read()
    if endpoint.startswith("api/"):
        events = [json.loads(line) for line in body.split(b"\n") if line.strip()]
    else:
        events = json.loads(body) if body.startswith(b"[") else events_of(body)
    for event in events:
        READERS[endpoint](read, event)
    return read


def _openai(read: Read, event: Any) -> None:
    read.error = event.get("error", read.error)
    if event.get("usage"):
        read.usage = event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"]
    for choice in event.get("choices", []):
        delta = choice.get("delta", choice)
        read.refused |= "refusal" in delta
        read.add(choice["index"], delta.get("content", delta.get("text")), choice["finish_reason"])


def _responses(read: Read, event: Any) -> None:
    match event["type"]:
        case "error":
            read.error = event
        case "response.output_text.delta":
            read.add(0, event["delta"])
        case "response.refusal.delta":
            read.refused = True
        case "response.completed" | "response.incomplete":
            read.add(0, "", event["response"]["status"])
            usage = event["response"]["usage"]
            read.usage = usage["input_tokens"], usage["output_tokens"]


def _messages(read: Read, event: Any) -> None:
    match event["type"]:
        case "error":
            read.error = event["error"]
        case "message_start":
            read.usage = event["message"]["usage"]["input_tokens"], 0
        case "content_block_delta":
            read.add(event["index"], event["delta"]["text"])
        case "message_delta":
            read.add(0, "", event["delta"]["stop_reason"])
            assert read.usage is not None
            read.usage = read.usage[0], event["usage"]["output_tokens"]


def _gemini(read: Read, event: Any) -> None:
    read.error = event.get("error", read.error)
    read.refused |= "promptFeedback" in event
    if "usageMetadata" in event:
        read.usage = event["usageMetadata"]["promptTokenCount"], event["usageMetadata"]["candidatesTokenCount"]
    for candidate in event.get("candidates", []):
        texts = [part["text"] for part in candidate["content"].get("parts", [])]
        read.add(candidate["index"], "".join(texts), candidate.get("finishReason"))


def _ollama(read: Read, event: Any) -> None:
    read.error = event.get("error", read.error)
    read.add(0, event.get("message", {}).get("content", event.get("response")), event.get("done_reason"))
    if event.get("done"):
        read.usage = event["prompt_eval_count"], event["eval_count"]


READERS = {
    "chat/completions": _openai,
    "completions": _openai,
    "responses": _responses,
    "messages": _messages,
    "generateContent": _gemini,
    "api/chat": _ollama,
    "api/generate": _ollama,
}

"""Puts Anthropic's streamed messages together, and Cohere's, whose events are built alike.

Source: anthropic-sdk-python `lib/streaming/_messages.py` (`accumulate_event`); Cohere API reference, chat-stream. Usage in
`message_delta` is cumulative and wins field by field where it says something: adding it doubles the count (langchainjs#10249).
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import Pieces, as_index, as_list, as_object, finished, merge, parsed, settle, taken
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

COUNTED_ON = "output_tokens"  # the count that message_start only begins

_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode


class MessageStream:
    """A streamed message. Takes events, gives the message that would have come without a stream."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.blocks: dict[int, dict[str, Any]] = {}
        self.inputs: dict[int, Pieces] = {}
        self.error: Any = None
        self.held = 0

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        self._take(events)
        self.held += sum(map(settle, self.blocks.values())) + sum(map(Pieces.settle, self.inputs.values()))

    def _take(self, events: list[bytes]) -> None:
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            match event.get("type"):
                case "content_block_delta":
                    self._continue(as_index(event.get("index")) or 0, as_object(event.get("delta")))
                case "content_block_start":
                    self.held += len(str(event))
                    self.blocks[as_index(event.get("index")) or 0] = taken(as_object(event.get("content_block")))
                case "message_start":
                    self.message = taken(as_object(event.get("message")))
                case "message_delta":
                    self.message.update(as_object(event.get("delta")))
                    self._note_usage(event.get("usage"))
                    for key in event.keys() - {"type", "delta", "usage"}:
                        self.message[key] = event[key]
                case "error":
                    self.error = self.error or event
                case None if event.get("error"):
                    self.error = self.error or event

    def end(self) -> Streamed:
        """What came of it: whole is a message that says why it stopped."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        body = msgspec.json.encode(self._body())
        return Whole(body) if self.message.get("stop_reason") else Cut("the message has no stop_reason", body)

    def _continue(self, index: int, delta: dict[str, Any]) -> None:
        block = self.blocks.setdefault(index, {})
        match delta.get("type"):
            case "text_delta":
                block.setdefault("type", "text")
                merge(block, {"text": delta.get("text")})
            case "input_json_delta":
                self.inputs.setdefault(index, Pieces()).append(str(delta.get("partial_json") or ""))
            case "thinking_delta":
                merge(block, {"thinking": delta.get("thinking")})
            case "signature_delta":
                block["signature"] = delta.get("signature")
            case "citations_delta":
                self.held += len(str(delta))
                block["citations"] = [*as_list(block.get("citations")), delta.get("citation")]
            case _:
                merge(block, delta, frozenset({"type"}))

    def _note_usage(self, usage: Any) -> None:
        if isinstance(usage, dict):
            known = self.message.get("usage")
            there = known if isinstance(known, dict) else {}
            said = {key: value for key, value in usage.items() if value or not there.get(key) or (key == COUNTED_ON and value == 0)}
            self.message["usage"] = {**there, **said}  # relays repeat the counts of the prompt as 0 (ai-gateway#1631)

    def _body(self) -> dict[str, Any]:
        blocks = []
        for index in sorted(self.blocks):
            block = finished(self.blocks[index])
            if index in self.inputs:
                block["input"] = parsed("".join(self.inputs[index]))
            blocks.append(block)
        return {**finished(self.message), "content": blocks}


class CohereStream:
    """A streamed chat of Cohere's second version."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] = {}
        self.message: dict[str, Any] = {}
        self.content: dict[int, dict[str, Any]] = {}
        self.calls: dict[int, dict[str, Any]] = {}
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            delta = as_object(event.get("delta"))
            message = as_object(delta.get("message"))
            index = as_index(event.get("index")) or 0
            match event.get("type"):
                case "message-start":
                    self.reply["id"] = event.get("id")
                    self.message = {key: value for key, value in message.items() if key not in ("content", "tool_calls", "citations")}
                case "content-start" | "content-delta" if isinstance(message.get("content"), dict):
                    merge(self.content.setdefault(index, {}), message["content"])
                    if isinstance(event.get("logprobs"), dict):
                        self.reply.setdefault("logprobs", []).append(event["logprobs"])
                case "tool-plan-delta":
                    self.message["tool_plan"] = str(self.message.get("tool_plan") or "") + str(message.get("tool_plan") or "")
                case "tool-call-start" | "tool-call-delta" if isinstance(message.get("tool_calls"), dict):
                    merge(self.calls.setdefault(index, {}), message["tool_calls"])
                case "citation-start" if isinstance(message.get("citations"), dict):
                    self.message.setdefault("citations", []).append(message["citations"])
                case "message-end":
                    self.reply.update(delta)
            if delta.get("error") or event.get("error"):
                self.error = self.error or {"error": delta.get("error") or event["error"]}

    def end(self) -> Streamed:
        """What came of it: whole is a message that says why it ended."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        message = {**self.message, "content": [finished(self.content[index]) for index in sorted(self.content)]}
        if self.calls:
            message["tool_calls"] = [finished(self.calls[index]) for index in sorted(self.calls)]
        body = msgspec.json.encode({**self.reply, "message": message})
        return Whole(body) if self.reply.get("finish_reason") else Cut("the message has no finish_reason", body)


class FirstCohereStream:
    """A streamed chat of Cohere's first version, whose last event says the whole."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None
        self.texts = Pieces()
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            if event.get("error"):
                self.error = self.error or event
            if event.get("event_type") == "stream-end":
                self.reply = {"finish_reason": event.get("finish_reason"), **as_object(event.get("response"))}
            elif isinstance(event.get("text"), str):
                self.texts.append(event["text"])

    def end(self) -> Streamed:
        """What came of it: whole is a stream with its last event."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        said = {"text": "".join(self.texts)}
        if self.reply is not None:
            return Whole(msgspec.json.encode({**said, **self.reply}))
        return Cut("no stream-end came", msgspec.json.encode(said))

"""Puts the events of AWS Bedrock's ConverseStream together, as relays send them in JSON: one key for each event, which names it.

Source: Amazon Bedrock API reference, ConverseStream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import Pieces, as_index, as_object, finished, merge, parsed
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

NAMES = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata")

_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode


def is_converse(event: dict[str, Any]) -> bool:
    """Whether an event is one of these."""
    return any(isinstance(event.get(name), dict) for name in NAMES[:-1]) or any(key.endswith("Exception") for key in event)


class ConverseStream:
    """A streamed conversation."""

    def __init__(self) -> None:
        self.role: Any = None
        self.blocks: dict[int, dict[str, Any]] = {}
        self.inputs: dict[int, Pieces] = {}
        self.top: dict[str, Any] = {}
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            for name, value in event.items():
                self._take(name, as_object(value))

    def end(self) -> Streamed:
        """What came of it: whole is a message that says why it stopped."""
        if self.error is not None:
            return Refused(msgspec.json.encode({"error": self.error}))
        content = [self._block(index) for index in sorted(self.blocks)]
        body = {"output": {"message": {"role": self.role or "assistant", "content": content}}, **self.top}
        encoded = msgspec.json.encode(body)
        return Whole(encoded) if self.top.get("stopReason") else Cut("the message has no stopReason", encoded)

    def _take(self, name: str, value: dict[str, Any]) -> None:
        index = as_index(value.get("contentBlockIndex")) or 0
        match name:
            case "messageStart":
                self.role = value.get("role")
            case "contentBlockStart":
                merge(self.blocks.setdefault(index, {}), as_object(value.get("start")))
            case "contentBlockDelta":
                self._continue(index, as_object(value.get("delta")))
            case "messageStop" | "metadata":
                self.top.update(value)
            case "error":
                self.error = self.error or value
            case _ if name.endswith("Exception"):
                self.error = self.error or {"type": name, **value}

    def _continue(self, index: int, delta: dict[str, Any]) -> None:
        block = self.blocks.setdefault(index, {})
        call = as_object(delta.get("toolUse"))
        if isinstance(call.get("input"), str):
            self.inputs.setdefault(index, Pieces()).append(call["input"])
        elif isinstance(delta.get("reasoningContent"), dict):
            merge(block.setdefault("reasoningContent", {}).setdefault("reasoningText", {}), delta["reasoningContent"])
        else:
            merge(block, delta)

    def _block(self, index: int) -> dict[str, Any]:
        block: dict[str, Any] = finished(self.blocks[index])
        if index in self.inputs:
            block["toolUse"] = {**as_object(block.get("toolUse")), "input": parsed("".join(self.inputs[index]))}
        return block

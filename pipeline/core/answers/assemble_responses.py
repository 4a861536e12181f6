"""Finds the answer in a stream of the Responses API: the last event carries the whole object, so nearly nothing is put together.

Relays send that object without its output although they streamed the items (new-api#4362, litellm#32724): then it is built from
the items that were told to be done, else from the pieces of its texts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import Pieces, as_object, finished, settle
from pipeline.core.answers.parts import NULL
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"})
PIECES = {  # of what an item holds, by the name of their event
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
PARTS = {"text": "output_text", "refusal": "refusal"}  # types of parts of a message


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: msgspec.Raw = NULL
    item: msgspec.Raw = NULL
    output_index: int = 0
    delta: Any = None
    error: msgspec.Raw = NULL


_decode_events = msgspec.json.Decoder(list[_Event]).decode
_decode_response = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode


class ResponseStream:
    """A streamed response."""

    def __init__(self) -> None:
        self.items: dict[int, bytes] = {}
        self.added: dict[int, bytes] = {}  # items that are not done, as they began
        self.texts: dict[int, dict[str, Pieces]] = {}  # what came of these, by key
        self.final: bytes | None = None
        self.begun: bytes | None = None
        self.error: bytes | None = None
        self.held = 0  # bytes of the answer so far, about

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        decoded = _decode_events(b"[" + b",".join(events) + b"]")
        if len(decoded) != len(events):
            raise msgspec.DecodeError("two pieces of an event make one where they are joined")
        for event, raw in zip(decoded, events, strict=True):
            if event.type in PIECES:
                if isinstance(event.delta, str):
                    self.texts.setdefault(event.output_index, {}).setdefault(PIECES[event.type], Pieces()).append(event.delta)
            elif event.type.startswith("response.output_item."):
                self._take_item(event)
            elif event.type in TERMINAL:
                self.final = bytes(event.response)
                self.held += len(self.final)
            elif event.type == "response.created":
                self.begun = bytes(event.response)
            elif event.type == "error" or (not event.type and event.error is not NULL):
                self.error = self.error or _as_error(raw)
        for texts in self.texts.values():
            self.held += settle(texts)

    def _take_item(self, event: _Event) -> None:
        """Take an item that begins, or one that is done."""
        index, item = event.output_index, bytes(event.item)
        if event.type.endswith(".added"):
            self.added[index] = item
        elif event.type.endswith(".done"):
            self.items[index] = item
            self.texts.pop(index, None)
            self.added.pop(index, None)
        self.held += len(item)

    def end(self) -> Streamed:
        """What came of it: whole is a response with its last event."""
        if self.error is not None:
            return Refused(self.error)
        if self.final is not None:
            return Whole(self._with_items(self.final))
        return Cut("no response.completed came", None if self.begun is None else self._with_items(self.begun))

    def _with_items(self, body: bytes) -> bytes:
        try:
            response = _decode_response(body)
        except (msgspec.DecodeError, RecursionError):
            return body
        items = {**{index: self._begun(index) for index in self.texts}, **self.items}
        if items and bytes(response.get("output", NULL)) in (b"null", b"[]"):
            response["output"] = msgspec.Raw(msgspec.json.encode([msgspec.Raw(items[index]) for index in sorted(items)]))
            return msgspec.json.encode(response)
        return body

    def _begun(self, index: int) -> bytes:
        """An item that was not told to be done, with what came of it."""
        texts = finished(self.texts[index])
        item = {key: value for key, value in as_object(_decode(self.added.get(index) or b"{}")).items() if key != "status"}
        if parts := [{"type": PARTS[key], key: text} for key, text in texts.items() if key in PARTS]:
            return msgspec.json.encode({"type": "message", "role": "assistant", **item, "content": parts})
        return msgspec.json.encode({"type": "function_call", **item, **texts})


def _as_error(event: bytes) -> bytes:
    """The error of an event that has it at its top: `{"type": "error", "code": …, "message": …}`."""
    value: Any = _decode(event)
    if isinstance(value.get("error"), dict):
        return event
    return msgspec.json.encode({"error": {key: item for key, item in value.items() if key not in ("type", "sequence_number")}})

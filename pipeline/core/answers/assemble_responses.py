"""Finds the answer in a stream of the Responses API: the last event carries the whole object, so nearly nothing is put together.

Relays send that object without its output although they streamed the items (new-api#4362, litellm#32724): then it is built from
the items that were told to be done, else from the pieces of its texts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import Pieces
from pipeline.core.answers.parts import NULL
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


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
        self.texts: dict[int, Pieces] = {}  # of items that are not done
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
            if event.type == "response.output_text.delta":
                if isinstance(event.delta, str):
                    self.texts.setdefault(event.output_index, Pieces()).append(event.delta)
            elif event.type in TERMINAL:
                self.final = bytes(event.response)
                self.held += len(self.final)
            elif event.type == "response.output_item.done":
                self.items[event.output_index] = bytes(event.item)
                self.held += len(self.items[event.output_index])
                self.texts.pop(event.output_index, None)
            elif event.type == "response.created":
                self.begun = bytes(event.response)
            elif event.type == "error" or (not event.type and event.error is not NULL):
                self.error = self.error or _as_error(raw)
        for pieces in self.texts.values():
            self.held += pieces.settle()

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
        items = {**{index: _message(pieces) for index, pieces in self.texts.items()}, **self.items}
        if items and bytes(response.get("output", NULL)) in (b"null", b"[]"):
            response["output"] = msgspec.Raw(msgspec.json.encode([msgspec.Raw(items[index]) for index in sorted(items)]))
            return msgspec.json.encode(response)
        return body


def _message(pieces: Pieces) -> bytes:
    """A message with the text that came of it."""
    part = {"type": "output_text", "text": "".join(pieces)}
    return msgspec.json.encode({"type": "message", "role": "assistant", "content": [part]})


def _as_error(event: bytes) -> bytes:
    """The error of an event that has it at its top: `{"type": "error", "code": …, "message": …}`."""
    value: Any = _decode(event)
    if isinstance(value.get("error"), dict):
        return event
    return msgspec.json.encode({"error": {key: item for key, item in value.items() if key not in ("type", "sequence_number")}})

"""Puts streams together whose events are pieces of the very object that comes without a stream.

Ollama's native API (one object a line), llama.cpp's /completion and the stream of Text Generation Inference. The last object
has the counts and says that it is the last.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import finished, merge
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode


class PieceStream:
    """A stream of pieces. last: the key that is true in the last one. joined: the key of a text at the top that comes in pieces."""

    def __init__(self, last: str, joined: str = "") -> None:
        self.last = last
        self.joined = joined
        self.reply: dict[str, Any] = {}
        self.message: dict[str, Any] = {}
        self.texts: list[str] = []
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            if event.get("error"):
                self.error = self.error or event
            if isinstance(event.get("message"), dict):
                merge(self.message, event["message"])
            if self.joined and isinstance(event.get(self.joined), str):
                self.texts.append(event[self.joined])
            self.reply.update({key: value for key, value in event.items() if key not in ("message", self.joined)})

    def end(self) -> Streamed:
        """What came of it: whole is a reply of which the last piece came."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        reply = dict(self.reply)
        if self.message:
            reply["message"] = finished(self.message)
        if self.texts:
            reply[self.joined] = "".join(self.texts)
        body = msgspec.json.encode(reply)
        return Whole(body) if reply.get(self.last) is True else Cut(f'no object with "{self.last}": true came', body)


class TokenStream:
    """The stream of Text Generation Inference: tokens, of which the last carries the whole text."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None
        self.texts: list[str] = []
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            if event.get("error"):
                self.error = self.error or event
            if isinstance(event.get("token"), dict):
                self.texts.append(str(event["token"].get("text") or ""))
            if isinstance(event.get("generated_text"), str):
                self.reply = {"generated_text": event["generated_text"], "details": event.get("details")}

    def end(self) -> Streamed:
        """What came of it: whole is a stream of which the last token came."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        if self.reply is not None:
            return Whole(msgspec.json.encode(self.reply))
        return Cut("no generated_text came", msgspec.json.encode({"generated_text": "".join(self.texts)}))


class TranscriptStream:
    """A streamed transcription of OpenAI: the last event says the whole text."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None
        self.texts: list[str] = []

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            if event.get("type") == "transcript.text.done":
                self.reply = {key: value for key, value in event.items() if key != "type"}
            elif isinstance(event.get("delta"), str):
                self.texts.append(event["delta"])

    def end(self) -> Streamed:
        """What came of it: whole is a stream with its last event."""
        if self.reply is not None:
            return Whole(msgspec.json.encode(self.reply))
        return Cut("no transcript.text.done came", msgspec.json.encode({"text": "".join(self.texts)}))

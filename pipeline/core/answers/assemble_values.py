"""Puts streams together whose last event says the whole: OpenAI's transcriptions and pictures.

Source: OpenAI API reference, "Streaming events" of audio and images.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode


class TranscriptStream:
    """A streamed transcription: the last event says the whole text, those before it who spoke when."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None
        self.texts: list[str] = []
        self.segments: list[dict[str, Any]] = []
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            kind = event.get("type")
            if kind == "transcript.text.done":
                self.reply = {key: value for key, value in event.items() if key != "type"}
            elif kind == "transcript.text.segment":
                self.segments.append(event)
            elif isinstance(event.get("delta"), str):
                self.texts.append(event["delta"])
            elif event.get("error"):
                self.error = self.error or event

    def end(self) -> Streamed:
        """What came of it: whole is a stream with its last event."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        segments = {"segments": self.segments} if self.segments else {}
        if self.reply is not None:
            return Whole(msgspec.json.encode({**segments, **self.reply}))
        return Cut("no transcript.text.done came", msgspec.json.encode({"text": "".join(self.texts), **segments}))


class ImageStream:
    """A streamed picture: first sketches, which are dropped, then the picture itself."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] = {}
        self.pictures: list[dict[str, Any]] = []
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            if event.get("error") or event.get("type") == "error":
                self.error = self.error or event
            elif str(event.get("type")).endswith(".completed"):
                self.pictures.append({"b64_json": event.get("b64_json")})
                more = {key: value for key, value in event.items() if key not in ("type", "b64_json", "created_at")}
                self.reply = {**self.reply, "created": event.get("created_at"), **more}

    def end(self) -> Streamed:
        """What came of it: whole is a stream with a finished picture."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        if self.pictures:
            return Whole(msgspec.json.encode({**self.reply, "data": self.pictures}))
        return Cut("no finished picture came")

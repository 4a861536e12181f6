"""Puts streams together whose events are pieces of the very object that comes without a stream.

Ollama's native API (one object a line), llama.cpp's /completion, Cloudflare's Workers AI and the stream of Text Generation Inference.
The last object has the counts and says that it is the last.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import Pieces, as_index, events_of, finished, merge, settle
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

DROPPED = frozenset({"p"})  # random padding (Cloudflare)

_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode


class PieceStream:
    """A stream of pieces. last: the key that is true in the last one, or an object. joined: the key of a text at the top in pieces."""

    def __init__(self, last: str, joined: str = "") -> None:
        self.last = last
        self.joined = joined
        self.replies: dict[int, dict[str, Any]] = {}  # by index: llama.cpp answers several prompts at once
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        touched = {}
        for event in events_of(events):
            if event.get("error"):
                self.error = self.error or event
            index = as_index(event.get("index")) or 0
            reply = touched[index] = self.replies.setdefault(index, {})
            for key, value in event.items():
                if key in DROPPED:
                    continue
                if isinstance(value, dict) and key == "message":
                    merge(reply.setdefault(key, {}), value)
                elif isinstance(value, str) and key in (self.joined, "thinking"):
                    reply.setdefault(key, Pieces()).append(value)
                elif isinstance(value, list) and isinstance(reply.get(key), list):
                    reply[key] += value
                else:
                    reply[key] = value
        for reply in touched.values():
            settle(reply)

    def end(self) -> Streamed:
        """What came of it: whole is a reply of which the last piece came."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        replies = [finished(self.replies[index]) for index in sorted(self.replies)]
        body = msgspec.json.encode(replies[0] if len(replies) == 1 else replies)
        whole = all(reply.get(self.last) is True or isinstance(reply.get(self.last), dict) for reply in replies)
        return Whole(body) if replies and whole else Cut(f'no object with "{self.last}" came that is the last', body)


class TokenStream:
    """The stream of Text Generation Inference: tokens, of which the last carries the whole text."""

    def __init__(self) -> None:
        self.reply: dict[str, Any] | None = None
        self.tokens: list[dict[str, Any]] = []
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            if event.get("error"):
                self.error = self.error or event
            if isinstance(event.get("token"), dict):
                self.tokens.append(event["token"])
            if isinstance(event.get("generated_text"), str):
                self.reply = {"generated_text": event["generated_text"], "details": event.get("details")}

    def end(self) -> Streamed:
        """What came of it: whole is a stream of which the last token came."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        if self.reply is not None:
            if isinstance(self.reply["details"], dict):  # where they stand without a stream
                self.reply["details"].setdefault("tokens", self.tokens)
            return Whole(msgspec.json.encode(self.reply))
        text = "".join(str(token.get("text") or "") for token in self.tokens)
        return Cut("no generated_text came", msgspec.json.encode({"generated_text": text}))

"""Puts Google's streamed answers together: every event is a whole GenerateContentResponse with some more parts.

Source: python-genai `types.py`. The same class takes the elements of the JSON list that comes without `alt=sse`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import Pieces, as_index, as_list, events_of, finished, settle
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole


class GeminiStream:
    """A streamed generateContent."""

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self.candidates: dict[int, dict[str, Any]] = {}
        self.parts: dict[int, list[dict[str, Any]]] = {}
        self.error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in events_of(events):
            if event.get("error"):
                self.error = self.error or event
            self.top.update({key: value for key, value in event.items() if key != "candidates" and value is not None})
            for place, candidate in enumerate(as_list(event.get("candidates"))):
                if isinstance(candidate, dict):
                    index = as_index(candidate.get("index"))
                    self._take(place if index is None else index, candidate)
        for parts in self.parts.values():
            for part in parts[-1:]:
                settle(part)

    def end(self) -> Streamed:
        """What came of it: whole is an answer of which every candidate says why it ended, or a prompt that was blocked."""
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        body = msgspec.json.encode(self._body())
        if not self.candidates:
            feedback = self.top.get("promptFeedback")
            blocked = isinstance(feedback, dict) and feedback.get("blockReason")
            return Whole(body) if blocked else Cut("no candidate came", body)
        if all(candidate.get("finishReason") for candidate in self.candidates.values()):
            return Whole(body)
        return Cut("a candidate has no finishReason", body)

    def _take(self, index: int, candidate: dict[str, Any]) -> None:
        there = self.candidates.setdefault(index, {})
        content = candidate.get("content")
        there.update({key: value for key, value in candidate.items() if key != "content" and value is not None})
        if isinstance(content, dict):
            known = there.setdefault("content", {})
            known.update({key: value for key, value in content.items() if key != "parts"})
            parts = self.parts.setdefault(index, [])
            for part in as_list(content.get("parts")):
                _add(parts, part)

    def _body(self) -> dict[str, Any]:
        candidates = []
        for index in sorted(self.candidates):
            candidate = self.candidates[index]
            if index in self.parts:
                candidate = {**candidate, "content": {**candidate["content"], "parts": finished(self.parts[index])}}
            candidates.append(candidate)
        return {**({"candidates": candidates} if candidates else {}), **self.top}


def _add(parts: list[dict[str, Any]], part: Any) -> None:
    """Add a part; a text goes on with the one before it, if both are thoughts or neither is, and they are nothing else."""
    if not isinstance(part, dict):
        return
    last = parts[-1] if parts else None
    if isinstance(part.get("text"), str):
        part = {**part, "text": Pieces([part["text"]])}
        if last is not None and _bare(last) and _bare(part) and last.get("thought") == part.get("thought"):
            last["text"].extend(part["text"])
            return
    parts.append(part)


def _bare(part: dict[str, Any]) -> bool:
    return isinstance(part.get("text"), Pieces) and part.keys() <= {"text", "thought"}

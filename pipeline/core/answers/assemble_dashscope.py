"""Puts DashScope's own streams together (Alibaba's Model Studio, without its OpenAI mode).

Every event has an `output` with choices or a text. By default each says all that was said so far; with `incremental_output` each goes on
where the last one ended. The request decides that and the stream does not say it: it is the first where every text begins with the one
before it. Source: Alibaba Cloud, "DashScope API reference".
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.merging import as_index, as_list
from pipeline.core.answers.streamed import Cut, Streamed, Whole

NOT_YET = (None, "", "null")  # a finish_reason before the end
TEXTS = ("content", "reasoning_content", "text")
UNDECIDED = 16  # texts that are kept until it is decided which kind of stream this is

_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode


class _Text:
    """One text that is still being written."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last = ""
        self._repeats = True  # so far every text began with the one before it

    def add(self, text: str) -> None:
        self._repeats = self._repeats and text.startswith(self._last)
        if self._repeats and len(self._pieces) >= UNDECIDED:
            self._pieces = []  # texts that grew so often were never pieces
        self._pieces.append(text)
        self._last = text

    def whole(self) -> str:
        return self._last if self._repeats else "".join(self._pieces)


class DashScopeStream:
    """A streamed generation."""

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._output: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._texts: dict[tuple[int, str], _Text] = {}

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in _decode_events(b"[" + b",".join(events) + b"]"):
            self._top.update({key: value for key, value in event.items() if key != "output" and value is not None})
            output = event.get("output")
            if isinstance(output, dict):
                self._output.update(self._noted(-1, {key: value for key, value in output.items() if key != "choices"}))
                for place, choice in enumerate(as_list(output.get("choices"))):
                    if isinstance(choice, dict):
                        index = as_index(choice.get("index"))
                        self._take(place if index is None else index, choice)

    def end(self) -> Streamed:
        """What came of it: whole is an answer of which every choice says why it ended."""
        body = msgspec.json.encode(self._body())
        parts = list(self._choices.values()) or [self._output]
        if all(part.get("finish_reason") not in NOT_YET for part in parts):
            return Whole(body)
        return Cut("an output has no finish_reason", body)

    def _take(self, index: int, choice: dict[str, Any]) -> None:
        there = self._choices.setdefault(index, {})
        there.update({key: value for key, value in choice.items() if key != "message" and value is not None})
        message = choice.get("message")
        if isinstance(message, dict):
            there.setdefault("message", {}).update(self._noted(index, message))

    def _noted(self, index: int, fields: dict[str, Any]) -> dict[str, Any]:
        """What of these fields is as it is; their texts are noted."""
        for key in TEXTS:
            if isinstance(text := fields.get(key), str):
                self._texts.setdefault((index, key), _Text()).add(text)
        return {key: value for key, value in fields.items() if value is not None}

    def _body(self) -> dict[str, Any]:
        for (index, key), text in self._texts.items():
            part = self._output if index < 0 else self._choices[index]["message"]
            part[key] = text.whole()
        choices = {"choices": [self._choices[index] for index in sorted(self._choices)]} if self._choices else {}
        return {"output": {**self._output, **choices}, **self._top}

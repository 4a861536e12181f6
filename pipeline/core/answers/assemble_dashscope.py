"""Puts DashScope's own streams together (Alibaba's Model Studio, without its OpenAI mode).

Every event has an `output` with choices or a text. By default each says all that was said so far; with `incremental_output` each goes on
where the last one ended. The request decides that and the stream does not say it: it is the first where every text begins with the one
before it. Source: Alibaba Cloud, "DashScope API reference".
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.error_bodies import tells_error
from pipeline.core.answers.merging import as_index, as_list, events_of
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole

NOT_YET = (None, "", "null")  # a finish_reason before the end
TEXTS = frozenset({"content", "reasoning_content", "text", "arguments"})
LISTS = frozenset({"content", "tool_calls"})  # whose elements go on where their index, or else their place, is the same
UNDECIDED = 16  # texts that are kept until it is decided which kind of stream this is


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
        self._error: Any = None

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        for event in events_of(events):
            output = event.get("output")
            if not isinstance(output, dict) and tells_error(event):
                self._error = self._error or event
                continue
            self._top.update({key: value for key, value in event.items() if key != "output" and value is not None})
            if isinstance(output, dict):
                _note(self._output, {key: value for key, value in output.items() if key != "choices"})
                for place, choice in enumerate(as_list(output.get("choices"))):
                    if isinstance(choice, dict):
                        index = as_index(choice.get("index"))
                        _note(self._choices.setdefault(place if index is None else index, {}), choice)

    def end(self) -> Streamed:
        """What came of it: whole is an answer of which every choice says why it ended."""
        if self._error is not None:
            return Refused(msgspec.json.encode({"error": self._error}))
        choices = [_written(self._choices[index]) for index in sorted(self._choices)]
        output = {**_written(self._output), **({"choices": choices} if choices else {})}
        body = msgspec.json.encode({"output": output, **self._top})
        if all(part.get("finish_reason") not in NOT_YET for part in choices or [output]):
            return Whole(body)
        return Cut("an output has no finish_reason", body)


def _note(into: dict[str, Any], fields: dict[str, Any]) -> None:
    """Take what an event says of an object. What is empty takes nothing back."""
    for key, value in fields.items():
        if isinstance(value, str) and key in TEXTS:
            text = into.setdefault(key, _Text())
            if isinstance(text, _Text):
                text.add(value)
        elif isinstance(value, dict):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _note(into[key], value)
        elif isinstance(value, list) and key in LISTS:
            _note_list(into, key, value)
        elif value is not None and (value != "" or key not in into):
            into[key] = value


def _note_list(into: dict[str, Any], key: str, items: list[Any]) -> None:
    there = into.get(key)
    known: dict[int, Any] = there if isinstance(there, dict) else {}
    into[key] = known
    for place, item in enumerate(items):
        if isinstance(item, dict):
            index = as_index(item.get("index"))
            _note(known.setdefault(place if index is None else index, {}), item)


def _written(value: Any) -> Any:
    """An object whose pieces have all come."""
    if isinstance(value, _Text):
        return value.whole()
    if isinstance(value, dict):
        if value and all(isinstance(key, int) for key in value):
            return [_written(value[index]) for index in sorted(value)]
        return {key: _written(item) for key, item in value.items()}
    return value

"""Puts streamed chat completions and plain completions together, in the dialects of all servers that imitate OpenAI.

The first event is read key by key. All that follow are decoded as one typed array, a block at a time, with every key named that
servers send in ordinary events: 0.8 µs an event. If there are other keys at the top, those alone are looked at besides. An event
with anything else in it is read key by key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.answers.chat_choice import Building
from pipeline.core.answers.chat_chunks import Chunk, decode_chunks, decode_loose, decode_tops
from pipeline.core.answers.error_bodies import is_empty_error, tells_error
from pipeline.core.answers.halves import HalvesJoined
from pipeline.core.answers.mend import UNREADABLE, json_text
from pipeline.core.answers.merging import as_index, as_list, as_object, finished, merge, merged
from pipeline.core.answers.parts import NULL
from pipeline.core.answers.streamed import Cut, Refused, Streamed, Whole
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.answers.chat_chunks import ChoicePart, LooseChunk

DROPPED = frozenset({"obfuscation"})  # random padding (OpenAI)
APART = frozenset({"choices", "usage", "error", "object"})
CHOICE_APART = frozenset({"index", "delta", "message", "finish_reason", "error", "usage"})
WHOLE_OBJECT = {"chat.completion.chunk": "chat.completion"}
TOP = ("id", "created", "model", "system_fingerprint", "service_tier", "provider")  # of every event; the first that says one counts
KNOWN = frozenset(Chunk.__struct_fields__)
TELLING = ("error", "x_groq")  # keys that may end the stream
PING = ("type", "ping")
_some_count = later(rb"[1-9]")  # a digit of a count that is not 0

_decode_any = msgspec.json.Decoder().decode
_NULL = b"null"


class ChatStream:
    """A streamed completion. Takes events, gives the object that would have come without a stream."""

    def __init__(self) -> None:
        self.top: dict[str, Any] = {}
        self.said: dict[str, bytes] = {}  # keys at the top that have no name here, with the value that came last
        self.choices: dict[int, Building] = {}
        self.usage: Any = None
        self.error: Any = None
        self.problem: str | None = None
        self.kind = "chat.completion"
        self.halves = HalvesJoined()
        self.held = 0

    def take(self, events: list[bytes]) -> None:
        """Take the data of some events."""
        try:
            self._take(events)
        finally:
            self.held += sum(map(Building.settle, self.choices.values()))

    def _take(self, events: list[bytes]) -> None:
        events = self.halves.before(events)
        if not self.top and events:
            self._take_one(events[0])
            events = events[1:]
        if not events:
            return
        block = b"[" + b",".join(events) + b"]"
        try:
            self._take_chunks(decode_chunks(block))
        except UNREADABLE:
            if not self._take_loose(block):
                for event in self.halves.joined(events):
                    self._take_alone(event)

    def end(self) -> Streamed:
        """What came of it. Whole is an answer of which every choice says why it ended; nothing else proves it."""
        for event in self.halves.end():
            try:
                self._take_alone(event)
            except UNREADABLE:
                self.problem = self.problem or "an event is not of the form that such events have"
        if self.error is not None:
            return Refused(msgspec.json.encode(self.error))
        unfinished = [index for index, choice in self.choices.items() if not choice.finish]
        if self.choices and not unfinished and self.problem is None:
            return Whole(self._body())
        return Cut(self.problem or "no choice came" if not unfinished else f"choice {unfinished[0]} has no finish_reason", self._body())

    # ---- the short way -----------------------------------------------------------------------------------------------

    def _take_loose(self, block: bytes) -> bool:
        """Take events of which only the tops are odd; False if something else is."""
        try:
            chunks, tops = decode_loose(block), decode_tops(block)
        except UNREADABLE:
            return False
        if any(map(_may_end_the_stream, tops)):
            return False
        self._take_chunks(chunks)
        for top in tops:
            for key in top.keys() - KNOWN:
                raw = bytes(top[key])
                if self.said.get(key) != raw:
                    self.said[key] = raw
                    self._take_top(key, _decode_any(raw))
        return True

    def _take_top(self, key: str, value: Any) -> None:
        """Take what stands beside the choices. A list is said again as a whole, never continued (Perplexity's citations)."""
        if key == "base_resp" and isinstance(value, dict) and value.get("status_code"):  # MiniMax
            self.error = self.error or {"base_resp": value}
        if (key, value) != PING:
            self.top[key] = value if isinstance(value, list) else merged(key, self.top.get(key), value)

    def _take_chunks(self, chunks: Sequence[LooseChunk]) -> None:
        for chunk in chunks:
            if chunk.usage is not NULL and bytes(chunk.usage) != _NULL:
                self._note_usage(chunk.usage)
            for part in chunk.choices or ():
                self._take_part(part, chunk)
        for name in [name for name in TOP if not self.top.get(name)]:
            said = (getattr(chunk, name) for chunk in chunks)
            first = next((raw for raw in said if raw is not NULL and bytes(raw) not in (_NULL, b'""')), None)
            if first is not None:
                self.top[name] = first

    def _take_part(self, part: ChoicePart, chunk: LooseChunk) -> None:
        building = self.choices.get(part.index)  # type: ignore[arg-type]  # None is no key
        if building is None:
            index = part.index
            if index is None:  # its place tells which it is
                index = next(place for place, each in enumerate(chunk.choices or ()) if each is part)
            building = self.choices.setdefault(index, Building())
        if part.finish_reason:
            building.finish = part.finish_reason
        if (delta := part.delta) is not None:
            building.take(delta)
        if part.text is not None:
            merge(building.more, {"text": part.text})

    # ---- key by key --------------------------------------------------------------------------------------------------

    def _take_alone(self, event: bytes) -> None:
        """Take an event that came with an odd one, and may be it."""
        text = json_text(event)
        if text is None:
            if b"\n" in event:  # events without blank lines between them
                for line in event.split(b"\n"):
                    self._take_alone(line)
            elif event.lstrip().startswith(b"{"):  # words, and what stands behind [DONE], are no part of the answer
                self.problem = self.problem or "an event is not JSON"
            return
        try:
            chunks = decode_chunks(b"[" + text + b"]")
        except UNREADABLE:
            self._take_one(text)
        else:
            self._take_chunks(chunks)

    def _take_one(self, event: bytes) -> None:
        value = _decode_any(event)
        self.held += len(event)
        if not isinstance(value, dict):
            return
        self._note_error(value)
        if isinstance(value.get("object"), str) and value["object"]:
            self.kind = str(WHOLE_OBJECT.get(value["object"], value["object"]))
        for key in value.keys() - APART - DROPPED:
            self._take_top(key, value[key])
        if value.get("usage") is not None:
            self._note_usage(value["usage"])
        for place, choice in enumerate(as_list(value.get("choices"))):
            if isinstance(choice, dict):
                index = as_index(choice.get("index"))
                self._take_choice(place if index is None else index, choice)

    def _note_usage(self, usage: Any) -> None:
        """Take the counts that came last; some relays end with zeros."""
        if self.usage is None or _some_count.search(msgspec.json.encode(usage)):
            self.usage = usage

    def _note_error(self, value: dict[str, Any]) -> None:
        groq = value.get("x_groq")
        if not is_empty_error(value.get("error")):
            self.error = self.error or value
        elif not value.get("choices") and tells_error(value):
            self.error = self.error or {"error": value}
        elif isinstance(groq, dict) and groq.get("error"):
            self.error = self.error or {"error": {"message": groq["error"], "type": "x_groq"}}

    def _take_choice(self, index: int, choice: dict[str, Any]) -> None:
        building = self.choices.setdefault(index, Building())
        merge(building.more, choice, CHOICE_APART)
        for key in choice.keys() - CHOICE_APART:
            building.more.setdefault(key, None)
        if not is_empty_error(choice.get("error")):
            self.error = self.error or {"error": choice["error"]}
        if isinstance(choice.get("usage"), dict):  # Moonshot
            self._note_usage(choice["usage"])
        message, delta = choice.get("message"), choice.get("delta")
        if isinstance(message, dict) and (says_something(message) or not isinstance(delta, dict)):
            delta = None  # a server that says the whole message again: the piece is in it
            self.problem = self.problem or building.take_whole(message)
        if isinstance(choice.get("finish_reason"), str) and choice["finish_reason"]:
            building.finish = choice["finish_reason"]
        if isinstance(delta, dict):
            merge(building.message, delta, frozenset({"tool_calls"}))
            for key in delta.keys() - {"tool_calls"}:
                building.message.setdefault(key, None)
            for call in as_list(delta.get("tool_calls")):
                if isinstance(call, dict):
                    building.add_call(call)

    # ---- the object --------------------------------------------------------------------------------------------------

    def _body(self) -> bytes:
        top = {key: value for key, value in self.top.items() if key not in ("created", "id", "model")}
        body = {
            "id": self.top.get("id"),
            "object": self.kind,
            "created": self.top.get("created"),
            "model": self.top.get("model"),
            "choices": [self._choice(index, self.choices[index]) for index in sorted(self.choices)],
            **finished(top),
        }
        usage = self.usage or as_object(finished(self.top.get("x_groq"))).get("usage")
        if usage is not None:
            body["usage"] = usage
        return msgspec.json.encode({key: value for key, value in body.items() if value is not None or key in self.top})

    def _choice(self, index: int, building: Building) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, **finished(building.more)}
        if "text" not in building.more or building.message:
            message = finished(building.message)
            message = {"role": message.pop("role", None) or "assistant", "content": message.pop("content", None), **message}
            if building.calls:
                message["tool_calls"] = [finished(call) for _, call in sorted(building.calls, key=lambda pair: pair[0])]
            choice["message"] = message
        choice["finish_reason"] = building.finish
        return choice


def says_something(message: dict[str, Any]) -> bool:
    """Whether a message holds more than who speaks."""
    return any(value for key, value in message.items() if key != "role")


def _may_end_the_stream(top: dict[str, msgspec.Raw]) -> bool:
    """Whether an event may tell of an error, so that it is read key by key."""
    if any(key in top and bytes(top[key]) != _NULL for key in TELLING):
        return True
    return ("choices" not in top or bytes(top["choices"]) == _NULL) and "usage" not in top

"""A choice of a streamed completion as far as it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.core.answers.merging import Pieces, as_index, as_object, finished, merge, settle, taken

if TYPE_CHECKING:
    from pipeline.core.answers.chat_chunks import Delta


class Building:
    """A choice as far as it has come."""

    __slots__ = ("calls", "finish", "message", "more", "whole")

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self.calls: list[tuple[int, dict[str, Any]]] = []
        self.finish: str | None = None
        self.whole = False  # the message came as a whole

    def take(self, delta: Delta) -> None:
        """Take an ordinary piece of a message."""
        if delta.content is not None:
            self.add("content", delta.content)
        if delta.reasoning_content is not None:
            self.add("reasoning_content", delta.reasoning_content)
        if delta.reasoning is not None:
            self.add("reasoning", delta.reasoning)
        if delta.role and not self.message.get("role"):
            self.message["role"] = delta.role

    def add(self, key: str, piece: str) -> None:
        """Continue a text of the message."""
        pieces = self.message.get(key)
        if isinstance(pieces, Pieces):
            pieces.append(piece)
        else:
            merge(self.message, {key: piece})

    def settle(self) -> int:
        """Keep the texts in few pieces. Gives how much they have grown."""
        return settle(self.message) + settle(self.more) + sum(settle(call) for _, call in self.calls[-1:])

    def add_call(self, call: dict[str, Any]) -> None:
        """Continue a call of a tool, or begin one. No mark of a call can be trusted: index, id and name are left out, repeated or empty."""
        function = as_object(call.get("function"))
        index, name_of_call = as_index(call.get("index")), (call.get("id") or None, function.get("name") or None)
        there = self._call_at(index, *name_of_call)
        if there is None:
            there = {}
            self.calls.append((len(self.calls) if index is None else index, there))
        merge(there, call, frozenset({"index"}))

    def _call_at(self, index: int | None, id_: Any, name: Any) -> dict[str, Any] | None:
        """The call that a piece continues; None if it begins one."""
        calls: list[dict[str, Any]] = [one for at, one in self.calls if index is None or at == index]
        same = [one for one in calls if one.get("id") == id_]
        if id_ is not None and same:
            return same[-1]
        last = calls[-1] if calls else None
        if last is None or (index is None and (id_ or name)) or (id_ and last.get("id")):
            return None
        last_name = as_object(last.get("function")).get("name")
        other = name and last_name and name != last_name
        return None if other else last

    def take_whole(self, message: dict[str, Any]) -> str | None:
        """Take a message that is said as a whole. Gives what is wrong if it is another answer than the one that has ended."""
        said = finished(self.message).get("content")
        another = self.finish and self.whole and not str(message.get("content")).startswith(str(said))
        self.whole = True
        self.message, self.calls = taken(message), []
        return "it holds more than one answer" if another else None

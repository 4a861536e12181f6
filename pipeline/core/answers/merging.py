"""How pieces of an object that comes bit by bit are put together: the rules that all streamed shapes share.

Texts that are written bit by bit are joined; texts that are said again (an id, a name, a role) are kept as they were said first.
Numbers and truth values: the last one holds. Objects are merged key by key, lists are continued. Null changes nothing.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec

from pipeline.patterns import later

# Texts that come in pieces, whatever object they stand in.
JOINED = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "arguments", "text", "thinking", "transcript", "data", "summary"}
    | {"partial_json", "thought"}
)
_decode_events = msgspec.json.Decoder(list[dict[str, Any]]).decode
_padded = later(r"[^=]+=*")  # a piece of base64 with its padding

PARTS = ("text", "thinking")  # types of parts that are written bit by bit


def events_of(data: list[bytes]) -> list[dict[str, Any]]:
    """The events of which this is the data, without pings. Raises what msgspec does for what is no object."""
    return [event for event in _decode_events(b"[" + b",".join(data) + b"]") if event.get("type") != "ping"]


class Pieces(list[str]):
    """A text that is still being written; `finished` makes a text of it."""

    settled = 0  # how many of the pieces are long ones

    def settle(self) -> int:
        """Make one long piece of those that came since the last time: a short one takes ten times its length. Gives its length."""
        if len(self) == self.settled:
            return 0
        piece = "".join(self[self.settled :])
        self[self.settled :] = [piece]
        self.settled += 1
        return len(piece)


def settle(value: dict[str, Any]) -> int:
    """Settle all texts of an object, and of objects within it. Gives how much they have grown, in characters."""
    grown = 0
    for item in value.values():
        if isinstance(item, Pieces):
            grown += item.settle()
        elif isinstance(item, dict):
            grown += settle(item)
    return grown


def as_object(value: Any) -> dict[str, Any]:
    """A value where an object should stand; empty if it is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A value where a list should stand; empty if it is none."""
    return value if isinstance(value, list) else []


def as_index(value: Any) -> int | None:
    """An index as a number or as the text of one."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def merge(into: dict[str, Any], new: dict[str, Any], skip: frozenset[str] = frozenset()) -> None:
    """Take what a piece says into an object. skip: keys that somebody else looks at."""
    for key, value in new.items():
        if key not in skip:
            into[key] = merged(key, into.get(key), value)


def merged(key: str, old: Any, new: Any) -> Any:
    """A value after a piece of it has come."""
    if new is None:
        return old
    if isinstance(new, str):
        return _text(key, old, new)
    if isinstance(new, dict):
        into = old if isinstance(old, dict) else {}
        merge(into, new)
        return into
    if isinstance(new, list):
        return _continued(old if isinstance(old, list) and not isinstance(old, Pieces) else [], new)
    return new


def _text(key: str, old: Any, new: str) -> Any:
    if key not in JOINED:
        return old or new
    if isinstance(old, Pieces):
        old.append(new)
        return old
    if isinstance(old, list):  # Mistral: parts first, then plain text
        return _continued(old, [{"type": "text", "text": new}])
    return Pieces([new])


def _continued(old: list[Any], new: list[Any]) -> list[Any]:
    """A list after some more of it has come.

    An element with an index goes on where that index is; a part of a text goes on with the part before it, if both are of
    one type.
    """
    for item in new:
        there = _begun(old, item) if isinstance(item, dict) else None
        if there is None:
            old.append(taken(item))
        else:
            merge(there, item)
    return old


def _begun(old: list[Any], item: dict[str, Any]) -> dict[str, Any] | None:
    index, kind = item.get("index"), item.get("type")
    if isinstance(index, int):  # which may be counted for each type apart (OpenRouter, langchainjs#10692)
        same = (one for one in reversed(old) if isinstance(one, dict) and one.get("index") == index)
        return next((one for one in same if kind is None or one.get("type") in (None, kind)), None)
    if item.get("type") in PARTS and old and isinstance(old[-1], dict) and old[-1].get("type") == item["type"]:
        return old[-1]
    return None


def taken(value: Any) -> Any:
    """A value of a piece, ready to be continued."""
    if isinstance(value, dict):
        into: dict[str, Any] = {}
        merge(into, value)
        for key in value:
            into.setdefault(key, None)
        return into
    return [taken(item) for item in value] if isinstance(value, list) else value


def finished(value: Any) -> Any:
    """A value whose pieces have all come."""
    if isinstance(value, Pieces):
        return "".join(value)
    if isinstance(value, dict):
        return {key: as_one_base64(finished(item)) if key == "data" else finished(item) for key, item in value.items()}
    return [finished(item) for item in value] if isinstance(value, list) else value


def as_one_base64(text: Any) -> Any:
    """Base64 of which each piece was encoded by itself: padding within it would end it for a reader."""
    if not isinstance(text, str) or "=" not in text.rstrip("="):
        return text
    try:
        return b64encode(b"".join(b64decode(piece, validate=True) for piece in _padded.findall(text))).decode()
    except ValueError:  # it is something else
        return text


def parsed(text: str) -> Any:
    """The input of a tool: JSON, of which nothing at all is an empty object, and a part stays the text that it is."""
    try:
        return msgspec.json.decode(text) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError):
        return text

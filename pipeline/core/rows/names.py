"""What names a row: its id as text, read from a whole row, from many lines at once, or from what is left of a broken line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.rows.templates import RowError
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.rows.templates import JSON

MAX_ID_LENGTH = 512  # characters; as long as OpenAI takes an id in a header
CUSTOM_ID = "custom_id"
OTHER_IDS = ("recordId", "key")  # of Bedrock's and Gemini's batch lines

# What can stand for a custom_id at a line's start, and what could hide the key from a search
_leading_ids = re.compile(rb'\n\{"custom_id": ?"([^"\\\n]{1,512})"').findall
_escaped_letters = later(rb"\\u00(?:[67][0-9a-fA-F]|5[fF])")
_other_ids = later(rb'"(?:recordId|key)"')
_control_characters = later("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_readable_id = later(rb'\s*\{\s*"custom_id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')


class _Named(msgspec.Struct, gc=False):
    custom_id: Any = None


_decode_name = msgspec.json.Decoder(_Named).decode
_decode_any = msgspec.json.Decoder().decode


def numbered(index: int) -> str:
    """The id of a row that has none of its own."""
    return f"row-{index}"


def as_name(value: object) -> str | None:
    """A field as an id: text or a whole number, which pandas may have made a float; an empty cell of a table is none."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return str(value) if type(value) in (str, int) and value != "" else None


def given_name(value: object, field: str) -> str | None:
    """The id that a field holds, None for an empty cell. Raises RowError for what can be no id."""
    name = as_name(value)
    if name is None and value not in (None, "") and value == value:  # noqa: PLR0124  NaN is an empty cell to pandas
        raise RowError(f"{field} must be text or a whole number, got {value!r:.60}")
    return name


def check_name(name: str) -> None:
    """Refuse an id that cannot be one. Raises RowError."""
    if not name or len(name) > MAX_ID_LENGTH:
        raise RowError(f"custom_id must have 1 to {MAX_ID_LENGTH} characters, got {len(name)}")
    if not name.isprintable() and _control_characters.search(name):
        raise RowError(f"custom_id must not hold control characters, got {name!r}")


def all_are_plain(names: Sequence[str]) -> bool:
    """Whether `check_name` would surely refuse none of these."""
    return "".join(names).isprintable() and all(names) and len(max(names, key=len, default="")) <= MAX_ID_LENGTH


def name_of(data: bytes | Mapping[str, JSON] | None, field: str) -> str | None:
    """The id of a row that may be bad otherwise, if the row can be read as far as that. It is the row's own: nobody else may have it."""
    try:
        if isinstance(data, bytes):
            value = _decode_name(data).custom_id if field == CUSTOM_ID else _decode_any(data).get(field)
        else:
            value = (data or {}).get(field)
        name = as_name(value)
        if name:
            check_name(name)
            return name
    except (RowError, msgspec.DecodeError, UnicodeError, RecursionError, AttributeError):
        pass
    return None


def readable_name(data: object) -> str | None:
    """The id that a broken line begins with, to tell people which row it is. It is claimed from nobody."""
    found = _readable_id.match(data) if isinstance(data, bytes) else None
    return None if found is None else name_of(b'{"custom_id":%s}' % found[1], CUSTOM_ID)


def leading_names(text: bytes) -> list[str] | None:
    """The ids of whole good lines that start with them, none for lines without any; None if that cannot be told without decoding.

    That saves four fifths of the time.
    """
    mentions = text.count(b"custom_id")
    if b"\\u00" in text and _escaped_letters.search(text):
        return None
    if not mentions:
        return None if _other_ids.search(text) else []
    leading = _leading_ids(b"\n" + text)  # a literal start is found ten times as fast as a line's
    if not len(leading) == mentions == text.count(b"\n"):
        return None
    try:
        names = b"\n".join(leading).decode()
    except UnicodeDecodeError:
        return None
    return names.split("\n") if names.replace("\n", "").isprintable() else None

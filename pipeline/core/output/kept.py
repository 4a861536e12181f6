"""Fields of the input row that its flat line carries along (`sink.keep`), as a piece of JSON that goes behind the line's own keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.rows.templates import reach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.records import Outcome

_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_NULL = b"null"


class KeptFields:
    """The names of the fields, as a template would have them: `label`, or `meta.label` for one within an object.

    A field that is missing, or that JSON cannot hold, is null, and so is every field of a row that cannot be read.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._starts = [b",%s:" % _encode(name) for name in names]
        self._flat = not any("." in name for name in names)

    def of(self, row: RawRow) -> bytes:
        """The fields of a row: `,"label":"spam","source":null`."""
        values = self._values(row.data)
        return b"".join([part for pair in zip(self._starts, values, strict=True) for part in pair])

    def _values(self, data: bytes | Mapping[str, object] | None) -> list[bytes]:
        try:
            if isinstance(data, bytes):
                if not data.isascii():
                    data.decode()  # the decoder does not look into what it skips
                if self._flat:
                    parts = _decode_parts(data)
                    return [_on_one_line(bytes(parts[name])) if name in parts else _NULL for name in self.names]
                data = _decode_any(data)
            if isinstance(data, dict):
                return [_value_in(data, name) for name in self.names]
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        return [_NULL] * len(self.names)


def with_fields(line: bytes, kept: bytes) -> bytes:
    """A flat line with these fields after its own."""
    return line[:-2] + kept + b"}\n" if kept else line


def line_of(encode: Callable[[Outcome], bytes], outcome: Outcome, kept: bytes) -> bytes:
    """The line of an outcome, with these fields of its row."""
    return with_fields(encode(outcome), kept)


def _value_in(fields: Mapping[str, object], name: str) -> bytes:
    try:
        return _encode(reach(fields, name))  # type: ignore[arg-type]  # what JSON cannot hold is looked for here
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        return _NULL


def _on_one_line(value: bytes) -> bytes:
    """A value of a document may be laid out over several lines."""
    return msgspec.json.format(value, indent=-1) if b"\n" in value or b"\r" in value else value

"""Cuts a stream of bytes into the objects of a JSON document: an array of them, or several one after the other, however laid out.

Only brackets, braces and strings are looked at. The content of an object is left to the code that decodes it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.core.rows.lines import MAX_LINE_BYTES, HeaderError, RawRow

if TYPE_CHECKING:
    from collections.abc import Iterator

_next_token = re.compile(rb'["{}\[\]]').search
_end_of_string = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL).match
_blank_or_comma = re.compile(rb"[\s,]*").match


class JsonObjects:
    """Takes chunks, gives rows; a row is one object, as its bytes were. line, offset: where the next one starts, or is looked for.

    What an iterator gives must be taken whole before the next call. Raises HeaderError where something else stands between objects.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.line = 1
        self.offset = 0
        self.max_line_bytes = max_line_bytes
        self._text = b""  # from `offset` on
        self._at = 0  # how far it was looked at
        self._depth = 0  # within the object that has not ended
        self._in_array = False
        self._ended = False  # the array has

    def feed(self, chunk: bytes) -> Iterator[RawRow]:
        """The objects that end in this chunk."""
        self._text += chunk
        while (row := self._next_object()) is not None:
            yield row
        if len(self._text) > self.max_line_bytes:
            raise HeaderError(f"line {self.line}: an object is longer than {self.max_line_bytes:,} bytes")

    def finish(self) -> Iterator[RawRow]:
        """The object that was cut off by the end of the stream."""
        if self._text:
            yield RawRow(self.line, self.offset, None, "is cut off: the file ends within it")
            self._pass(len(self._text))
        elif self._in_array and not self._ended:
            yield RawRow(self.line, self.offset, None, "is cut off: the file ends within its array")

    def _next_object(self) -> RawRow | None:
        if not self._depth and not self._find_start():
            return None
        while token := _next_token(self._text, self._at):
            mark = token[0]
            if mark == b'"':
                end = _end_of_string(self._text, token.end())
                if end is None:
                    return None
                self._at = end.end()
                continue
            self._at = token.end()
            self._depth += 1 if mark in b"{[" else -1
            if not self._depth:
                row = RawRow(self.line, self.offset, self._text[: self._at])
                self._pass(self._at)
                return row
        self._at = len(self._text)
        return None

    def _find_start(self) -> bool:
        """Go on to the start of the next object, if it has come."""
        while True:
            blank = _blank_or_comma(self._text)
            self._pass(blank.end() if blank else 0)
            first = self._text[:1]
            if first == b"{" and not self._ended:
                return True
            if first == b"[" and not self._in_array:
                self._in_array = True
            elif first == b"]" and self._in_array and not self._ended:
                self._ended = True
            elif not first:
                return False
            else:
                raise HeaderError(f"line {self.line}: must hold JSON objects, got {self._text[:20].decode(errors='replace')!r}")
            self._pass(1)

    def _pass(self, size: int) -> None:
        self.line += self._text.count(b"\n", 0, size)
        self.offset += size
        self._text = self._text[size:]
        self._at = 0

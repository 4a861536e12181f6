"""Splits an event stream: pieces of bytes in, the data of its events out. It does not interpret the data.

Theory of operation. Nearly all streams are nothing but `data: {…}` and a blank line, again and again. One regular expression
takes a whole block of those apart; its matches must cover the block to the last byte, or else the block is read line by line,
as the standard says. Line ends are made alike first, and lines that carry no data (comments, names, ids) are taken out, so that
streams with those go the short way too. A line or an event that is cut by the end of a piece waits for the next one.

Source: WHATWG HTML, "Server-sent events", interpreting an event stream. One thing is done otherwise: an event whose blank line
is missing at the end of a whole body is taken, because servers end with `data: [DONE]` and nothing behind it.
"""

from __future__ import annotations

import re

from pipeline.patterns import later

BOM = b"\xef\xbb\xbf"
SLICE_BYTES = 1 << 20
OVERHEAD = len(b"data: \n\n")

_PLAIN = re.compile(rb"data: ?(\{.*\}|\[DONE\])\n\n")
_EXACT = re.compile(rb"data: (\{.*\}|\[DONE\])\n\n")
# A line without data, with the line end before it; and after a comment that stands alone its blank line.
_NO_DATA = re.compile(rb"\n(?:(?:event|id|retry):[^\n]*|:[^\n]*(?:\n(?=\n))?)")
# Names of events that tell of an error: `error`, `exception` (gateways), `modelStreamErrorException` (AWS).
_tells_error = later(rb"(?i:error|exception)")
_error_line = later(rb"\n(?:event:[^\n]*(?i:error|exception)|error:)")


class Events:
    """One stream. error: what an event under the name of an error said, or a field of that name (llama.cpp)."""

    __slots__ = ("_at_start", "_data", "_name", "_rest", "error")

    def __init__(self) -> None:
        self.error: bytes | None = None
        self._rest = b""  # bytes of which the end has not come yet
        self._data: list[bytes] = []  # lines of the event that is not over
        self._name = b""
        self._at_start = True

    @property
    def pending(self) -> int:
        """Bytes of which the end has not come yet."""
        return len(self._rest)

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that end within this piece, in order."""
        text = self._rest + piece if self._rest else piece
        if self._at_start:
            if len(text) < len(BOM) and BOM.startswith(text):
                self._rest = text
                return []
            text = text.removeprefix(BOM)
            self._at_start = False
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # half of a line end, perhaps
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not (self._data or self._name):
            cut = text.rfind(b"\n\n") + 2
            found = _all_plain(text[:cut]) if cut > 1 else []
            if found is not None:
                self._rest = text[cut if cut > 1 else 0 :] + held
                return found
        cut = text.rfind(b"\n") + 1
        self._rest = text[cut:] + held
        events: list[bytes] = []
        at = 0
        while at < cut:  # in slices, because no other thread runs during a call
            end = text.rfind(b"\n", at, at + SLICE_BYTES) + 1 or text.find(b"\n", at) + 1
            events += self._by_lines(text[at:end].split(b"\n")[:-1])
            at = end
        return events

    def end(self) -> list[bytes]:
        """The last events, when the body is whole."""
        rest = self._rest.removeprefix(BOM) if self._at_start else self._rest
        self._rest = b""
        lines = rest.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return self._by_lines([*lines, b""])

    def _by_lines(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            if not line:
                self._dispatch(found)
                continue
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                self._data.append(value)
            elif field == b"event":
                self._name = value
            elif field == b"error":  # no field of the standard; the error object is its value
                self.error = self.error or value
        return found

    def _dispatch(self, found: list[bytes]) -> None:
        data, name = b"\n".join(self._data), self._name
        self._data, self._name = [], b""
        if name and _tells_error.search(name):
            self.error = self.error or data
        elif data:
            found.append(data)


def _all_plain(block: bytes) -> list[bytes] | None:
    """The data of a block of plain events; None if anything in it is not one."""
    found = _EXACT.findall(block)
    if sum(map(len, found)) + OVERHEAD * len(found) == len(block):
        return found
    lines = b"\n" + block
    if (b"rror" in lines or b"xception" in lines) and _error_line.search(lines):
        return None
    bare = _NO_DATA.sub(b"", lines)
    found = _PLAIN.findall(bare)
    without_space = len(found) - bare.count(b"\ndata: ")
    return found if sum(map(len, found)) + OVERHEAD * len(found) - without_space + 1 == len(bare) else None

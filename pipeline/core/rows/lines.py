"""Cuts a stream of bytes into rows, whatever the size of the chunks in which it comes; touches no file.

Lines end with LF, CR LF or a lone CR, and with nothing else: U+2028, U+0085 and vertical tabs are text. Blank lines are no
rows. A bad row is a `RawRow` with a problem, never an exception, and a row is given as soon as its end has been seen.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from itertools import repeat
from operator import sub
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.core.rows.templates import JSON
    from pipeline.records import FileFound

MAX_LINE_BYTES = 64 * 1024 * 1024  # a request with several large images inside
TEXT_FIELD = "prompt"  # the one field of a row of a plain text file

UTF8_MARK = b"\xef\xbb\xbf"
OTHER_ENCODING = "if the file is in another encoding, source.encoding must name it (windows-1252, shift_jis, gb18030 …)"

_find_line_end = re.compile(rb"\r\n?|\n").search


class RawRow(Struct, eq=False, gc=False):
    """A row as it lies in the input, not yet understood.

    line: 1-based line where it starts, blank lines counted. offset: of its first byte in the uncompressed stream.
    data: a line of JSON, or a row whose fields are known already; None if there is a problem. problem: why it cannot be read.
    digest: kept by `row_digest`, so that a row is summed once. file: where the line is, if the input is several files.
    files: what was found of the files that its fields name, or what is wrong with them, where the config wants them sent.
    """

    line: int
    offset: int
    data: bytes | Mapping[str, JSON] | None
    problem: str | None = None
    digest: int | None = None
    file: str | None = None
    files: Mapping[str, FileFound | str] | None = None

    @property
    def place(self) -> str:
        """Where it stands, for people; "" if the input has no lines."""
        place = f"line {self.line}" if self.line else ""
        return place if self.file is None else f"{self.file}, {place}" if place else self.file


LONG_LINE = 16_384  # bytes; where the first line of a chunk is longer, the others are taken to be as well


class HeaderError(ValueError):
    """A table whose header names no usable columns."""


class RowCutter(ABC):
    """Takes chunks, gives rows. line, offset: where the first row that has not been given starts.

    What an iterator gives must be taken whole before the next call.
    """

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES, line: int = 1, offset: int = 0) -> None:
        self.line = line
        self.offset = offset
        self.max_line_bytes = max_line_bytes
        self._pending: list[bytes] = []  # the unfinished line, joined once however long it gets
        self._pending_bytes = 0
        self._lost_bytes = 0  # of an over-long line that has not ended yet; then nothing is pending
        self._half_end = b""  # a CR that the next byte may complete to CR LF

    def feed(self, chunk: bytes) -> Iterator[RawRow]:
        """The rows that end in this chunk."""
        chunk = self._half_end + chunk
        self._half_end = b"\r" if chunk.endswith(b"\r") else b""
        chunk = chunk.removesuffix(b"\r")
        cut = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if cut:
            yield from self._lines_up_to(cut, chunk)
        self._hold(chunk[cut:])

    def finish(self) -> Iterator[RawRow]:
        """The rows that end with the stream."""
        if self._pending or self._half_end or self._lost_bytes:
            yield from self._whole_lines(self._half_end)

    def _lines_up_to(self, cut: int, chunk: bytes) -> Iterator[RawRow]:
        """The rows of the lines that end in a chunk, the last of them at `cut`."""
        return self._whole_lines(chunk[:cut])

    def _whole_lines(self, block: bytes) -> Iterator[RawRow]:
        if self._lost_bytes:
            end = _find_line_end(block)
            size = end.end() if end else 0
            yield self._overlong(self._lost_bytes + size)
            self._lost_bytes = 0
            if size == len(block):
                return
            block = block[size:]
        elif self._pending:
            block = b"".join((*self._pending, block))
            self._pending.clear()
            self._pending_bytes = 0
        yield from self._rows(block)

    def _hold(self, rest: bytes) -> None:
        if not rest:
            return
        if self._lost_bytes:
            self._lost_bytes += len(rest)
            return
        self._pending.append(rest)
        self._pending_bytes += len(rest)
        if self._pending_bytes > self.max_line_bytes:
            self._lost_bytes = self._pending_bytes
            self._pending.clear()
            self._pending_bytes = 0

    def _overlong(self, size: int) -> RawRow:
        row = RawRow(self.line, self.offset, None, f"is longer than {self.max_line_bytes:,} bytes")
        self.line += 1
        self.offset += size
        return row

    @abstractmethod
    def _rows(self, block: bytes) -> Iterator[RawRow]:
        """The rows of whole lines; moves `line` and `offset` behind them."""


class JsonLines(RowCutter):
    """Each line is a row, given as bytes without its end."""

    def _lines_up_to(self, cut: int, chunk: bytes) -> Iterator[RawRow]:
        first_is_long = self._pending_bytes >= LONG_LINE or chunk.find(b"\n", 0, LONG_LINE) < 0
        if not first_is_long or self._lost_bytes or b"\r" in chunk:
            return self._whole_lines(chunk[:cut])
        return self._long_lines(cut, chunk)

    def _long_lines(self, cut: int, chunk: bytes) -> Iterator[RawRow]:
        """The same for long lines that end with LF. Each byte is copied once, and `find` passes over it 30 times as fast as `split`."""
        at = 0
        while at < cut:
            end = chunk.find(b"\n", at, cut)
            if self._pending:
                text = b"".join((*self._pending, memoryview(chunk)[at:end]))
                self._pending.clear()
                self._pending_bytes = 0
            else:
                text = chunk[at:end]
            yield from self._long_row(text)
            self.offset += 1
            at = end + 1

    def _rows(self, block: bytes) -> Iterator[RawRow]:
        line, offset, most = self.line, self.offset, self.max_line_bytes
        after = offset + len(block)
        marked = not block.isascii() and UTF8_MARK in block  # files that were joined by `cat` have one within
        for text, end in _lines_and_ends(block):
            if len(text) > most:
                self.line, self.offset = line, offset
                yield self._overlong(len(text) + end)
            elif text and not text.isspace():
                yield RawRow(line, offset, text.removeprefix(UTF8_MARK) if marked else text)
            line += 1
            offset += len(text) + end
        self.line, self.offset = line, after

    def _long_row(self, text: bytes) -> Iterator[RawRow]:
        """The row of one line, if it is not blank; moves `line` and `offset` behind it, but for its end."""
        if len(text) > self.max_line_bytes:
            yield self._overlong(len(text))
            return
        if text and not text.isspace():
            yield RawRow(self.line, self.offset, text.removeprefix(UTF8_MARK))
        self.line += 1
        self.offset += len(text)


def _lines_and_ends(block: bytes) -> Iterable[tuple[bytes, int]]:
    """Each line without its end, and the length of that end (not of the last line's, which may have none)."""
    if b"\r" not in block:
        return zip(block.removesuffix(b"\n").split(b"\n"), repeat(1), strict=False)  # half the time of `splitlines` twice
    lines = block.splitlines()
    return zip(lines, map(sub, map(len, block.splitlines(keepends=True)), map(len, lines)), strict=True)


def count_lines(text: bytes) -> int:
    """How many lines there are in a text, the last of which may have no end."""
    return len(text.splitlines()) if b"\r" in text else text.count(b"\n") + (not text.endswith(b"\n") and text != b"")


class TextLines(JsonLines):
    """Each line is a row with one field, its text."""

    def _rows(self, block: bytes) -> Iterator[RawRow]:
        return map(_as_text, super()._rows(block))

    def _long_row(self, text: bytes) -> Iterator[RawRow]:
        return map(_as_text, super()._long_row(text))


def _as_text(row: RawRow) -> RawRow:
    if isinstance(row.data, bytes):
        try:
            row.data = {TEXT_FIELD: row.data.decode()}
        except UnicodeDecodeError as error:
            row.data, row.problem = None, not_utf8(error)
    return row


def not_utf8(error: UnicodeDecodeError) -> str:
    """Says where a row is not UTF-8, for people."""
    return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start + 1}; {OTHER_ENCODING}"

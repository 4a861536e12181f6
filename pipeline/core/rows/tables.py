"""Cuts a stream of bytes into the rows of a table with a header (CSV, TSV); touches no file.

A record ends where a line ends outside quotes. Where that is, is found here, because the standard reader cannot be fed piece by
piece; what the fields of a whole record are is the standard reader's word.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.core.rows.lines import HeaderError, RawRow, RowCutter, not_utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

# The rest of a quoted field with its closing quote; a doubled quote is a quote. Possessive: it never tries twice.
_closing_quote = re.compile(rb'(?:[^"]++|"")*+"').match


class TableRows(RowCutter):
    """Each record is a row by the header's names. Too few fields are missing fields; too many are a problem."""

    def __init__(self, delimiter: str, *, max_line_bytes: int, line: int = 1, offset: int = 0) -> None:
        super().__init__(max_line_bytes=max_line_bytes, line=line, offset=offset)
        # The limit is the process's, and its default of 128 KiB is below a long prompt: only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
        self._delimiter = delimiter.encode()
        self._next_quoted = self._delimiter + b'"'
        self._read_record = partial(csv.reader, delimiter=delimiter)
        self._header: list[str] | None = None
        self._record: list[bytes] = []  # lines of the record that has not ended
        self._record_bytes = 0
        self._quoted = False  # a quoted field goes on past its last line

    def finish(self) -> Iterator[RawRow]:
        """The rows that end with the stream."""
        yield from super().finish()
        if self._record:
            yield self._end_record("has a quoted field that never ends")

    def _rows(self, block: bytes) -> Iterator[RawRow]:
        for line in block.splitlines(keepends=True):
            if not self._record and line.isspace() and self._delimiter not in line:
                self.line += 1
                self.offset += len(line)
                continue
            self._record.append(line)
            self._record_bytes += len(line)
            self._quoted = self._ends_quoted(line)
            if self._record_bytes > self.max_line_bytes:
                yield self._overlong(0)
            elif not self._quoted:
                row = self._end_record(None)
                if row.data is not None or row.problem is not None:
                    yield row

    def _overlong(self, size: int) -> RawRow:
        self._record_bytes += size
        if size:
            self._record.append(b"")  # the line that was let go counts as a line
        return self._end_record(f"is longer than {self.max_line_bytes:,} bytes")

    def _end_record(self, problem: str | None) -> RawRow:
        row = RawRow(self.line, self.offset, None, problem)
        if problem is None:
            self._read_fields(row, b"".join(self._record))
        if self._header is None:
            raise HeaderError(f"line {row.line}: the header {row.problem}")
        self.line += len(self._record)
        self.offset += self._record_bytes
        self._record.clear()
        self._record_bytes = 0
        self._quoted = False
        return row

    def _read_fields(self, row: RawRow, record: bytes) -> None:
        try:
            fields = next(self._read_record((record.decode(),)))
        except UnicodeDecodeError as error:
            row.problem = not_utf8(error)
        except csv.Error as error:
            row.problem = f"cannot be read: {error}"
        else:
            if self._header is None:
                self._header = _header(fields, row.line)
            elif len(fields) > len(self._header):
                row.problem = f"has {len(fields)} fields, the header has {len(self._header)}; quote a field that holds the delimiter"
            else:
                row.data = dict(zip(self._header, fields, strict=False))

    def _ends_quoted(self, line: bytes) -> bool:
        if b'"' not in line:
            return self._quoted
        at = 0 if self._quoted else 1 if line.startswith(b'"') else self._next_quote(line, 0)
        while at >= 0:
            closed = _closing_quote(line, at)
            if closed is None:
                return True
            at = self._next_quote(line, closed.end())
        return False

    def _next_quote(self, line: bytes, at: int) -> int:
        """Where the text of the next quoted field starts, or -1. Only a delimiter before it makes a quote special."""
        found = line.find(self._next_quoted, at)
        return found if found < 0 else found + len(self._next_quoted)


def _header(fields: list[str], line: int) -> list[str]:
    names = [field.strip() for field in fields]
    if "" in names:
        raise HeaderError(f"line {line}: column {names.index('') + 1} has no name; the first row must name every column")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise HeaderError(f"line {line}: two columns are named {', '.join(sorted(map(repr, twice)))}; names must differ")
    return names

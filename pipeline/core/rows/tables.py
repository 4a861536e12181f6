"""Cuts a stream of bytes into the rows of a table with a header (CSV, TSV); touches no file.

A record ends where a line ends outside quotes. Where that is, is found here, because the standard reader cannot be fed piece by
piece; what the fields of a whole record are is decided by the standard reader.

A quote that was never meant to open a field would swallow rows until the next quote, and glue them into one prompt. So a quoted
field that runs over several lines must be closed properly (by a quote before a delimiter or a line end), and must not look
like rows of this table. Otherwise its first line alone is a bad row, and the lines after it are read again.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING

from pipeline.core.rows.columns import missing_columns
from pipeline.core.rows.lines import HeaderError, RawRow, RowCutter, not_utf8

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# The rest of a quoted field with its closing quote; a doubled quote is a quote. Possessive: it never tries twice.
_closing_quote = re.compile(rb'(?:[^"]++|"")*+"').match
_quoted_part = re.compile(rb'"[^"]*"?')
DELIMITERS = b",;\t|"  # those that a header may tell
_told_delimiter = re.compile(rb'"?sep=([,;\t|])"?\s*', re.IGNORECASE).fullmatch  # a line by which Excel is told, above the header
LIKE_ROWS = 4  # whole lines within one field, each with as many delimiters as a row has: fewer may well be text


class TableRows(RowCutter):
    """Each record is a row by the header's names. Too few fields are missing fields; too many are a problem, unless they are empty.

    delimiter: None: it is found in the header. used: the columns that somebody asks for, None for all: others may have no name, or one
    name twice. needed: columns that must be there, and who asks for each.
    """

    def __init__(
        self,
        delimiter: str | None,
        *,
        used: Collection[str] | None = None,
        needed: Mapping[str, str] | None = None,
        max_line_bytes: int,
        line: int = 1,
        offset: int = 0,
    ) -> None:
        super().__init__(max_line_bytes=max_line_bytes, line=line, offset=offset)
        # The limit is the process's, and its default of 128 KiB is below a long prompt: only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
        self._used = used
        self._needed = needed or {}
        self._delimiter = b""  # not known yet
        if delimiter is not None:
            self._split_at(delimiter.encode())
        self._header: list[str | None] | None = None  # None for a column that has no name of its own
        self._record: list[bytes] = []  # lines of the record that has not ended
        self._record_bytes = 0
        self._quoted = False  # a quoted field goes on past its last line

    def _split_at(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._next_quoted = delimiter + b'"'
        self._read_record = partial(csv.reader, delimiter=delimiter.decode())

    def finish(self) -> Iterator[RawRow]:
        """The rows that end with the stream."""
        yield from super().finish()
        while self._record:
            yield from self._give_up_quote("has a quoted field that never ends", self.line + len(self._record) - 1)

    def _rows(self, block: bytes) -> Iterator[RawRow]:
        yield from self._records(deque(block.splitlines(keepends=True)))

    def _records(self, lines: deque[bytes]) -> Iterator[RawRow]:
        while lines:
            line = lines.popleft()
            if not self._record and line.isspace() and (not self._delimiter or self._delimiter not in line):
                self.line += 1
                self.offset += len(line)
                continue
            if not self._record and self._header is None and (told := _told_delimiter(line)):
                self._split_at(self._delimiter or told[1])
                self.line += 1
                self.offset += len(line)
                continue
            if not self._delimiter:
                self._split_at(_delimiter_of(line))
            continued = bool(self._record)
            self._record.append(line)
            self._record_bytes += len(line)
            ends_well = self._follow_quotes(line)
            if self._record_bytes > self.max_line_bytes:
                yield from self._overlong_record(lines)
            elif continued and not self._quoted and not (ends_well and not self._is_like_rows()):
                why = "looks like rows of the table" if ends_well else "is followed by more text"
                yield self._first_line_alone(f"has a quoted field that goes on to line {{last}} and {why}", lines)
            elif not self._quoted:
                row = self._end_record(None)
                if row.data is not None or row.problem is not None:
                    yield row

    def _overlong_record(self, lines: deque[bytes]) -> Iterator[RawRow]:
        if len(self._record) == 1:
            yield self._overlong(0)
        else:
            yield self._first_line_alone("has a quoted field that does not end up to line {last}", lines)

    def _give_up_quote(self, problem: str, last: int) -> Iterator[RawRow]:
        """The rows of a record that never ended."""
        lines: deque[bytes] = deque()
        more = f"; it would swallow the lines up to {last} ({last - self.line + 1} lines)" if last > self.line else ""
        yield self._first_line_alone(problem + more, lines)
        yield from self._records(lines)

    def _first_line_alone(self, problem: str, lines: deque[bytes]) -> RawRow:
        """The first line of the record as a bad row; those after it are to be read again."""
        last = self.line + len(self._record) - 1
        lines.extendleft(reversed(self._record[1:]))
        del self._record[1:]
        self._record_bytes = len(self._record[0])
        return self._end_record(problem.format(last=last) + ("" if self._header is None or last == self.line else "; check its quotes"))

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
                self._header = _header(fields, row.line, self._used)
                problem = missing_columns(self._needed, [name for name in self._header if name is not None])
                if problem is not None:
                    raise HeaderError(f"line {row.line}: {problem}")
            elif len(fields) > len(self._header) and any(fields[len(self._header) :]):
                row.problem = f"has {len(fields)} fields, the header has {len(self._header)}; quote a field that holds the delimiter"
            else:
                row.data = {name: field for name, field in zip(self._header, fields, strict=False) if name is not None}

    def _is_like_rows(self) -> bool:
        """Whether the whole lines within the record look like rows, so that a stray quote has swallowed them."""
        within = self._record[1:-1]
        columns = 0 if self._header is None else len(self._header)
        return len(within) >= LIKE_ROWS and columns > 1 and all(line.count(self._delimiter) == columns - 1 for line in within)

    def _follow_quotes(self, line: bytes) -> bool:
        """Note whether a quoted field goes on past this line; whether every quoted field that ended in it was closed properly."""
        if b'"' not in line:
            return True
        at = 0 if self._quoted else 1 if line.startswith(b'"') else self._next_quote(line, 0)
        well = True
        while at >= 0:
            closed = _closing_quote(line, at)
            if closed is None:
                self._quoted = True
                return well
            end = closed.end()
            well = well and (line.startswith((self._delimiter, b"\r", b"\n"), end) or end == len(line))
            at = self._next_quote(line, end)
        self._quoted = False
        return well

    def _next_quote(self, line: bytes, at: int) -> int:
        """Where the text of the next quoted field starts, or -1. Only a delimiter before it makes a quote special."""
        found = line.find(self._next_quoted, at)
        return found if found < 0 else found + len(self._next_quoted)


def _delimiter_of(header: bytes) -> bytes:
    """What separates the columns of a header: what it has most of outside quotes."""
    counts = Counter(_quoted_part.sub(b"", header))
    return bytes([max(DELIMITERS, key=lambda delimiter: counts[delimiter])])


def _header(fields: list[str], line: int, used: Collection[str] | None) -> list[str | None]:
    """The columns' names. One without a name is nobody's: pandas writes its index so, and Excel trailing columns."""
    names = [field.strip() for field in fields]
    if not any(names):
        raise HeaderError(f"line {line}: no column has a name; the first row must name the columns")
    twice = {name for name in names if name and names.count(name) > 1}
    wanted = twice if used is None else twice & set(used)
    if wanted:
        raise HeaderError(f"line {line}: two columns are named {', '.join(sorted(map(repr, wanted)))}; names must differ")
    return [name if name and name not in twice else None for name in names]

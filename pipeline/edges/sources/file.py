"""Reads an input file or stdin as a stream of rows; nothing is held but one chunk and the row that it cuts off.

Bytes go through up to three steps: unpacked, made UTF-8, cut into rows. All reading blocks and belongs in a thread.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import stat
import sys
import zlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.core.rows.lines import MAX_LINE_BYTES, HeaderError, JsonLines, RawRow, TextLines
from pipeline.edges.sources.recoding import FOREIGN, UTF8, UTF8_MARK, Recoded, foreign
from pipeline.edges.sources.unpacking import PACKINGS, NotPackedError, Unpacked
from pipeline.errors import InputError
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

CHUNK_BYTES = 256 * 1024  # about 800 rows: several slices for the reader, and no more than that in memory
LONG_CHUNK_BYTES, FEW_ROWS = 1 << 20, 16  # read at once where a chunk has fewer rows: each visit to the reader's thread costs 0.1 ms


def cutter_of(
    kind: str,
    *,
    delimiter: str | None = None,
    used: Collection[str] | None = None,
    needed: Mapping[str, str] | None = None,
    max_line_bytes: int,
) -> Cutter:
    """What cuts a stream of this kind into rows. delimiter, used, needed: of a table; see `TableRows`."""
    if kind in (".csv", ".tsv"):
        from pipeline.core.rows.tables import TableRows  # noqa: PLC0415  2 ms that only tables cost

        return TableRows(delimiter or ("\t" if kind == ".tsv" else None), used=used, needed=needed, max_line_bytes=max_line_bytes)
    if kind == ".json":
        from pipeline.core.rows.documents import JsonObjects  # noqa: PLC0415

        return JsonObjects(max_line_bytes=max_line_bytes)
    return TextLines(max_line_bytes=max_line_bytes) if kind == ".txt" else JsonLines(max_line_bytes=max_line_bytes)


STDIN = {"-", "/dev/stdin"}
COLUMNS = (".parquet", ".arrow", ".feather")  # read by `arrow`
SHEETS = (".xlsx", ".xls", ".ods", ".numbers")
KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")

# A document where lines of JSON should be
_array = later(rb"\s*\[\s*(?:[\r\n{]|$)")
_laid_out = later(rb'\s*\{[ \t]*\r?\n[ \t]+"')

ByteStream = io.RawIOBase | io.BufferedIOBase


class Cutter(Protocol):
    """Cuts a stream of bytes into rows. line, offset: where the first row that has not been given starts."""

    line: int
    offset: int

    def feed(self, chunk: bytes) -> Iterator[RawRow]:
        """The rows that end in this chunk."""

    def finish(self) -> Iterator[RawRow]:
        """The rows that end with the stream."""


class FileSource:
    """A `Source` of a file or stdin. Owns its file; close it, also after an error.

    size: bytes of the file, None where nobody knows. can_be_reopened: whether it can be read again from its start.
    """

    length: int | None = None  # rows of a file are not counted before they are read

    def __init__(self, name: str, file: ByteStream, kind: str, cutter: Cutter, *, packing: str = "", encoding: str = UTF8) -> None:
        self.name = name
        self.size = _size_of(file)
        self._chunk_bytes = CHUNK_BYTES
        self._bytes_taken = 0  # of the file
        self._fed = 0  # bytes of the stream that were made of these
        self._given = 0  # of these, up to the row that was given last
        self.can_be_reopened = self.size is not None and name != "stdin"
        self._kind = kind
        self._file = file
        self._cutter = cutter
        self._is_utf8 = codecs.lookup(encoding).name == UTF8
        self._unpacked = Unpacked(self._read_file, PACKINGS[packing], CHUNK_BYTES) if packing else None
        self._read = self._read_file if self._unpacked is None else self._unpacked.read
        if not self._is_utf8:
            self._read = Recoded(self._read, encoding).read
        self._ready: Iterator[RawRow] = iter(())
        self._started = False
        self._ended = False
        self._error: InputError | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        encoding: str = UTF8,
        delimiter: str | None = None,
        used: Collection[str] | None = None,
        needed: Mapping[str, str] | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> FileSource:
        """Open a file; its name says of which kind it is; "-" is stdin, as JSONL. Reads nothing yet.

        used: the columns of a table that somebody asks for, None for all. needed: those that must be there, and who asks for each.
        Raises InputError if it is not there, not a file, or of no known kind.
        """
        if str(path) in STDIN:
            return cls("stdin", _stdin(), ".jsonl", JsonLines(max_line_bytes=max_line_bytes), encoding=encoding)
        path = Path(path)
        kind, packing = kind_of(path)
        cutter = cutter_of(kind, delimiter=delimiter, used=used, needed=needed, max_line_bytes=max_line_bytes)
        try:
            file = io.FileIO(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file (in a config, a relative path is relative to the config file)") from None
        except IsADirectoryError:
            raise InputError(f"{path} is a directory; name a file in it") from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        return cls(str(path), file, kind, cutter, packing=packing, encoding=encoding)

    def take(self, most: int) -> list[RawRow]:
        """At most so many rows; at least one, unless the input is at its end. Never waits for more once it has some.

        Raises InputError where the stream breaks off, after the rows before that place were taken.
        """
        if self._error is not None:
            raise self._error
        try:
            rows = list(islice(self._ready, most))
            while not rows and not self._ended:
                self._ready = self._next_rows()
                rows = list(islice(self._ready, most))
                if not self._ended:
                    self._chunk_bytes = LONG_CHUNK_BYTES if len(rows) < FEW_ROWS else CHUNK_BYTES
        except (OSError, EOFError, zlib.error) as error:
            self._error = InputError(
                f"{self.name}: cannot be read beyond byte {self._cutter.offset:,} (line {self._cutter.line:,}): {error}",
            )
            raise self._error from error
        except HeaderError as error:
            self._error = InputError(f"{self.name}: {error}")
            raise self._error from error
        except NotPackedError as error:
            self._error = InputError(f"{self.name} {error}")
            raise self._error from error
        self._given = rows[-1].offset if rows else self._fed
        return rows

    @property
    def bytes_read(self) -> int:
        """Bytes of the file that were read for the rows that were taken."""
        read = self._bytes_taken - (0 if self._unpacked is None else self._unpacked.waiting)
        return read * self._given // self._fed if self._fed else read

    def text_before(self, line: int, offset: int) -> Iterator[bytes] | None:
        """See `Source`. Only lines of JSON are compared as text."""
        return self._skip(offset, line) if self.can_be_reopened and type(self._cutter) is JsonLines else None

    def _skip(self, size: int, line: int) -> Iterator[bytes]:
        at = 0
        try:
            chunk = self._first_chunk()
            at = self._cutter.offset  # behind a byte order mark
            while chunk and len(chunk) < size - at:
                yield chunk
                at += len(chunk)
                chunk = self._read()
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{self.name}: cannot be read beyond byte {at:,}: {error}") from error
        self._cutter.line, self._cutter.offset = line, size
        self._fed = at + len(chunk)
        if chunk:
            yield chunk[: size - at]
            self._ready = self._cutter.feed(chunk[size - at :])

    def close(self) -> None:
        """Give the file back; stdin stays open."""
        self._file.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_rows(self) -> Iterator[RawRow]:
        chunk = self._read() if self._started else self._first_chunk()
        if chunk:
            self._fed += len(chunk)
            return self._cutter.feed(chunk)
        self._see_that_it_is_whole()
        self._ended = True
        return self._cutter.finish()

    def _see_that_it_is_whole(self) -> None:
        size = _size_of(self._file)
        if self.size is not None and size is not None and size < self.size:
            raise EOFError(f"it was cut while it was read: it had {self.size:,} bytes and has {size:,}")

    def _read_file(self) -> bytes:
        chunk = _read_some(self._file, self._chunk_bytes)
        self._bytes_taken += len(chunk)
        return chunk

    def _first_chunk(self) -> bytes:
        """The first chunk without its byte order mark. Raises InputError if it shows that the input is of another kind."""
        self._started = True
        marks = (UTF8_MARK, *FOREIGN)
        head = self._read()
        while head and any(mark != head and mark.startswith(head) for mark in marks):
            more = self._read()
            if not more:
                break
            head += more
        problem = (foreign(head) if self._is_utf8 else None) or self._other_kind(head.removeprefix(UTF8_MARK))
        if problem is not None:
            self._error = InputError(f"{self.name} {problem}")
            raise self._error
        if head.startswith(UTF8_MARK):
            self._cutter.offset += len(UTF8_MARK)
            self._fed += len(UTF8_MARK)
            return head[len(UTF8_MARK) :] or self._read()
        return head

    def _other_kind(self, head: bytes) -> str | None:
        if type(self._cutter) is not JsonLines or head.startswith(b'{"'):  # as nearly all begin
            return None
        if _array.match(head):
            return "is a JSON array, and should have an object on each line; give it a name that ends in .json (or use jq -c '.[]')"
        if _laid_out.match(head):
            return "has objects that go over several lines; give it a name that ends in .json (or use jq -c .)"
        return None


def holds_lines_of_json(path: str) -> bool:
    """Whether the name of a file says that each of its lines is a row."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes if suffix.lower() not in PACKINGS]
    return suffixes[-1:] in ([".jsonl"], [".ndjson"])


def kind_of(path: Path) -> tuple[str, str]:
    """What the name of a file says is in it, and how it is packed ("" for not at all). Raises InputError."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in PACKINGS else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in KINDS:
        known, columns = ", ".join(KINDS), ", ".join(COLUMNS)
        sheet = "; save the sheet as CSV (UTF-8)" if kind in SHEETS else ""
        told = f'alone or with {" or ".join(PACKINGS)} behind, or in {columns}; "-" is stdin (JSONL)'
        raise InputError(f"{path}: its name must end in one of {known}, {told}{sheet}")
    return kind, packing


def _size_of(file: ByteStream) -> int | None:
    """The bytes of a regular file; None for a pipe, a device or a stand-in for stdin."""
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _stdin() -> ByteStream:
    """Stdin as bytes. Raw where it is a real file: a thread that hangs in a buffered read would hold its lock at exit."""
    if sys.stdin is None:
        raise InputError("stdin is closed; redirect a file into it")
    try:
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except io.UnsupportedOperation:  # a stand-in, as test runners have it
        stand_in = sys.stdin.buffer
        assert isinstance(stand_in, io.BufferedIOBase)
        return stand_in


def _read_some(file: ByteStream, most: int) -> bytes:
    """What is there, up to a chunk; waits only if there is nothing."""
    if isinstance(file, io.BufferedIOBase):
        return file.read1(most)
    while (chunk := file.read(most)) is None:  # not blocking, because somebody who shares the terminal set it so
        poll = select.poll()
        poll.register(file.fileno(), select.POLLIN)
        poll.poll()
    return chunk

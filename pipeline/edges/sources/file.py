"""Opens an input file or stdin and reads it as a stream of rows; nothing is held but one chunk and the line it cuts off.

What a file is, its name tells: `.jsonl`, `.csv` …, and `.gz` or `.zst` behind it. All reading blocks and belongs in a thread.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
import zlib
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.rows.lines import MAX_LINE_BYTES, HeaderError, JsonLines, RawRow, TextLines
from pipeline.edges.sources.unpacking import PACKINGS, Unpacked
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.core.rows.lines import RowCutter

__all__ = ["RawRow", "RowSource"]

CHUNK_BYTES = 256 * 1024  # about 800 rows: several slices for the reader, and no more than that in memory


def _table(delimiter: str, *, max_line_bytes: int) -> RowCutter:
    from pipeline.core.rows.tables import TableRows  # noqa: PLC0415  2 ms that only tables cost

    return TableRows(delimiter, max_line_bytes=max_line_bytes)


CUTTERS: dict[str, Callable[..., RowCutter]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".csv": partial(_table, ","),
    ".tsv": partial(_table, "\t"),
    ".txt": TextLines,
}
STDIN = {"-", "/dev/stdin"}

UTF8_MARK = b"\xef\xbb\xbf"
# First bytes that no row has, and what to do about them.
FOREIGN = {
    b"\x1f\x8b": "is compressed by gzip; give it a name that ends in .gz (or pipe it through zcat)",
    b"\x28\xb5\x2f": "is compressed by zstd; give it a name that ends in .zst (or pipe it through zstdcat)",
    b"\xff\xfe": "is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
    b"\xfe\xff": "is UTF-16; convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)",
}


ByteStream = io.RawIOBase | io.BufferedIOBase


class RowSource:
    """A stream of rows. Owns its file; close it, also after an error."""

    def __init__(self, name: str, file: ByteStream, read: Callable[[], bytes], cutter: RowCutter) -> None:
        self.name = name
        self._file = file
        self._read = read
        self._cutter = cutter
        self._ready: Iterator[RawRow] = iter(())
        self._started = False
        self._ended = False
        self._error: InputError | None = None

    @classmethod
    def open(cls, path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> RowSource:
        """Open a file by the kind that its name tells; "-" is stdin, as JSONL. Reads nothing yet.

        Raises InputError if it is not there, not a file, or of no known kind.
        """
        if str(path) in STDIN:
            stdin = _stdin()
            return cls("stdin", stdin, partial(_read_some, stdin), JsonLines(max_line_bytes=max_line_bytes))
        path = Path(path)
        kind, packing = _kind_of(path)
        try:
            file = io.FileIO(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file (a relative path is relative to the config file)") from None
        except IsADirectoryError:
            raise InputError(f"{path} is a directory; name a file in it") from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        read = partial(_read_some, file)
        unpacked = Unpacked(read, PACKINGS[packing], CHUNK_BYTES).read if packing else read
        return cls(str(path), file, unpacked, CUTTERS[kind](max_line_bytes=max_line_bytes))

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
        except (OSError, EOFError, zlib.error) as error:
            self._error = InputError(
                f"{self.name}: cannot be read beyond byte {self._cutter.offset:,} (line {self._cutter.line:,}): {error}",
            )
            raise self._error from error
        except HeaderError as error:
            self._error = InputError(f"{self.name}: {error}")
            raise self._error from error
        return rows

    @property
    def is_file(self) -> bool:
        """Whether it can be opened again, from its start."""
        try:
            return stat.S_ISREG(os.fstat(self._file.fileno()).st_mode) and self.name != "stdin"
        except OSError:  # a stand-in for stdin
            return False

    @property
    def is_lines(self) -> bool:
        """Whether it is a file of JSON lines, which can be `skip`ped."""
        return self.is_file and type(self._cutter) is JsonLines

    def skip(self, size: int, line: int) -> Iterator[bytes]:
        """Pass the first bytes of the stream (unpacked), behind which a line of that number starts; gives them as they are, in pieces.

        Must be exhausted before the first `take`, which then gives what comes behind them.
        Raises InputError where the stream breaks off.
        """
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
        if chunk:
            yield chunk[: size - at]
            self._ready = self._cutter.feed(chunk[size - at :])

    def close(self) -> None:
        """Give the file back; stdin stays open."""
        self._file.close()

    def __enter__(self) -> RowSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_rows(self) -> Iterator[RawRow]:
        chunk = self._read() if self._started else self._first_chunk()
        if chunk:
            return self._cutter.feed(chunk)
        self._ended = True
        return self._cutter.finish()

    def _first_chunk(self) -> bytes:
        """The first chunk without its byte order mark."""
        self._started = True
        marks = (UTF8_MARK, *FOREIGN)
        head = self._read()
        while head and any(mark != head and mark.startswith(head) for mark in marks):
            more = self._read()
            if not more:
                break
            head += more
        for mark, advice in FOREIGN.items():
            if head.startswith(mark):
                self._error = InputError(f"{self.name} {advice}")
                raise self._error
        if head.startswith(UTF8_MARK):
            self._cutter.offset += len(UTF8_MARK)
            return head[len(UTF8_MARK) :] or self._read()
        return head


def _kind_of(path: Path) -> tuple[str, str]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packing = suffixes.pop() if suffixes and suffixes[-1] in PACKINGS else ""
    kind = suffixes[-1] if suffixes else ""
    if kind not in CUTTERS:
        known = ", ".join(CUTTERS)
        raise InputError(f'{path}: its name must end in one of {known}, alone or with {" or ".join(PACKINGS)} behind; "-" is stdin (JSONL)')
    return kind, packing


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


def _read_some(file: ByteStream) -> bytes:
    """What is there, up to a chunk; waits only if there is nothing."""
    if isinstance(file, io.BufferedIOBase):
        return file.read1(CHUNK_BYTES)
    while (chunk := file.read(CHUNK_BYTES)) is None:  # not blocking, because somebody who shares the terminal set it so
        poll = select.poll()
        poll.register(file.fileno(), select.POLLIN)
        poll.poll()
    return chunk

"""Several files, one after the other, as one input.

A row's offset has the number of its file in its high bits and the offset within that file in the others. So offsets rise from
row to row, a resume finds the file without reading those before it, and a single file can become the first of several.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Source

FILE_BITS = 44  # 16 TB a file; the rest of 63 bits is enough for half a million files
FILE_MASK = (1 << FILE_BITS) - 1


def names_of(paths: Sequence[str]) -> list[str]:
    """What the files are called in messages. They get into the output, which must not tell where on the machine the files lie."""
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])  # noqa: PTH100, PTH120  paths are text here
    return [os.path.relpath(path, folder) for path in paths]


class ChainedSource:
    """A `Source` of the rows of several files, each of which is opened when its rows are due. A row says in which file it stands.

    paths, sizes: of the files, at least one; sizes of folders do not matter. as_text: whether all of them hold lines of JSON.
    """

    can_be_reopened = True
    length: int | None = None

    def __init__(self, name: str, paths: Sequence[str], sizes: Sequence[int], open_one: Callable[[str], Source], *, as_text: bool) -> None:
        self.name = name
        self.size: int | None = sum(sizes)
        self._paths = list(paths)
        self._names = names_of(paths)
        self._sizes = list(sizes)
        self._open_one = open_one
        self._as_text = as_text
        self._source: Source | None = None
        self._at = -1
        self._before = 0  # bytes of the files before this one

    @property
    def bytes_read(self) -> int:
        """Bytes of all files that were read."""
        return self._before + (0 if self._source is None else self._source.bytes_read)

    def take(self, most: int) -> list[RawRow]:
        """See `Source`."""
        while True:
            if self._source is None:
                if self._at + 1 == len(self._paths):
                    return []
                self._open_next()
            assert self._source is not None
            rows = self._source.take(most)
            if rows:
                name, base = self._names[self._at], self._at << FILE_BITS
                for row in rows:
                    row.file = name
                    row.offset += base
                return rows
            self._end_file()

    def text_before(self, line: int, offset: int) -> Iterator[bytes] | None:
        """See `Source`. Only lines of JSON are compared as text."""
        file = offset >> FILE_BITS
        return self._skip(file, line, offset & FILE_MASK) if self._as_text and file < len(self._paths) else None

    def close(self) -> None:
        """Give the open file back."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _skip(self, file: int, line: int, offset: int) -> Iterator[bytes]:
        while self._at < file:
            if self._source is not None:
                self._end_file()
            self._open_next()
            assert self._source is not None
            last = b"\n"
            for piece in self._source.text_before(line, offset if self._at == file else FILE_MASK) or ():
                yield piece
                last = piece[-1:] or last
            if self._at < file and last not in b"\r\n":
                yield b"\n"  # the next file begins a line, whether this one ends its last or not

    def _open_next(self) -> None:
        self._at += 1
        self._source = self._open_one(self._paths[self._at])

    def _end_file(self) -> None:
        self._before += self._sizes[self._at]
        self.close()

"""Several inputs, one after the other, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Source


class ChainedSource:
    """A `Source` of the rows of several, each of which is opened when its turn comes. A row says in which file it stands."""

    def __init__(self, name: str, paths: Sequence[str], sizes: Sequence[int], open_one: Callable[[str], Source]) -> None:
        self.name = name
        self.can_be_reopened = True
        self.size: int | None = sum(sizes)
        self.length: int | None = None
        self._paths = list(paths)
        self._sizes = list(sizes)
        self._open_one = open_one
        self._source: Source | None = None
        self._at = -1
        self._before = 0  # bytes of the files before this one
        self._offset = 0  # of the first row of this file

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
                self._at += 1
                self._source = self._open_one(self._paths[self._at])
            rows = self._source.take(most)
            if rows:
                for row in rows:
                    row.file = self._paths[self._at]
                    row.offset += self._offset
                self._end = rows[-1].offset + 1
                return rows
            self._before += self._sizes[self._at]
            self._offset = self._end
            self.close()

    _end = 0  # behind the last row that was given

    def text_before(self, line: int, offset: int) -> None:
        """See `Source`. Lines of several files are not compared as one text."""
        del line, offset

    def close(self) -> None:
        """Give the open file back."""
        if self._source is not None:
            self._source.close()
            self._source = None


def sizes_of(paths: Sequence[str], stat_size: Callable[[str], int]) -> list[int]:
    """The bytes of files that must be there. Raises InputError."""
    sizes = []
    for path in paths:
        try:
            sizes.append(stat_size(path))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
    return sizes

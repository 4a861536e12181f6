"""Reads the rows of a shard: its pieces one after the other, as if each stood alone in the file that it is a part of."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.cluster.plan import Reading
from pipeline.edges.sources.chain import FILE_BITS
from pipeline.edges.sources.copies import CopiedRows
from pipeline.edges.sources.ranges import FileRange
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pipeline.core.cluster.plan import InputFile, Piece, Shard
    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Source

HASH_BYTES = 1 << 20  # read at once


class ShardSource:
    """A `Source` of the rows of a shard. files: of the whole input. folder: where copies lie. delimiter, used: as a table's."""

    can_be_reopened = True

    def __init__(
        self, shard: Shard, files: Sequence[InputFile], folder: Path, *, delimiter: str | None = None, used: Collection[str] | None = None
    ) -> None:
        self.name = files[shard.pieces[0].file or 0].name if len(files) == 1 else f"shard {shard.number} of the input"
        self.length: int | None = shard.rows
        self.size: int | None = None
        self._pieces = list(shard.pieces)
        self._files = files
        self._folder = folder
        self._delimiter = delimiter
        self._used = used
        self._at = 0
        self._source: Source | None = None
        self.bytes_read = 0

    def take(self, most: int) -> list[RawRow]:
        """See `Source`."""
        while self._at < len(self._pieces):
            piece = self._pieces[self._at]
            if self._source is None:
                self._source = self._open(piece)
            rows = self._source.take(most)
            if rows:
                if piece.file is not None:
                    name, base = self._files[piece.file].name, piece.file << FILE_BITS
                    for row in rows:
                        row.file = name
                        row.offset += base
                return rows
            self.close()
            self._at += 1
        return []

    def text_before(self, line: int, offset: int) -> Iterator[bytes] | None:
        """See `Source`. Only what lies in one file of JSON lines is compared as text."""
        if len(self._pieces) > 1:
            return None
        piece = self._pieces[0]
        self._source = self._open(piece)
        return self._source.text_before(line, offset - ((piece.file or 0) << FILE_BITS))

    def close(self) -> None:
        """Give the open file back."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def _open(self, piece: Piece) -> Source:
        if piece.reading is Reading.COPY:
            return CopiedRows(self._folder / piece.path, piece.rows)
        if piece.reading is Reading.NUMBERED:
            from pipeline.edges.sources.arrow import ArrowSource  # noqa: PLC0415  few inputs are columns

            return ArrowSource.open(Path(piece.path), used=self._used, part=(piece.start, piece.end))
        return FileRange(piece, delimiter=self._delimiter, used=self._used)


def digest_of(path: Path, start: int = 0, end: int | None = None) -> str:
    """SHA-256 of what stands between two bytes of a file, in hex. Raises InputError."""
    hashed = sha256()
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            at = start
            while piece := file.read(HASH_BYTES if end is None else min(HASH_BYTES, end - at)):
                hashed.update(piece)
                at += len(piece)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return hashed.hexdigest()


def see_that_it_is_planned(shard: Shard, folder: Path) -> None:
    """Check that the bytes of a shard are those that were planned. Raises InputError."""
    for piece in shard.pieces:
        if piece.digest:
            is_copy = piece.reading is Reading.COPY
            path = folder / piece.path if is_copy else Path(piece.path)
            found = digest_of(path) if is_copy else digest_of(path, piece.start, piece.end)
            if found != piece.digest:
                raise InputError(f"{path}: shard {shard.number} is not what it was when the run was planned; --fresh plans it anew")

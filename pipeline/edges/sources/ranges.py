"""Reads a part of a file: its rows between two places that an earlier reading has found.

The rows come out as they do when the whole file is read: with the same lines, offsets and problems.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.rows.lines import MAX_LINE_BYTES, UTF8_MARK
from pipeline.edges.sources.file import CHUNK_BYTES, FileSource, cutter_of, kind_of
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.core.cluster.plan import Piece


class FileRange(FileSource):
    """A `Source` of the rows that stand between two bytes of a file of lines or of a table."""

    def __init__(self, piece: Piece, *, delimiter: str | None, used: Collection[str] | None, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        kind, _ = kind_of(Path(piece.path))
        cutter = cutter_of(kind, delimiter=delimiter, used=used, max_line_bytes=max_line_bytes)
        try:
            file = io.FileIO(piece.path)
        except OSError as error:
            raise InputError(f"{piece.path}: {error.strerror or error}") from error
        super().__init__(piece.path, file, kind, cutter)
        if piece.head:
            head = file.read(piece.head).removeprefix(UTF8_MARK)
            for _ in cutter.feed(head + b"\n" if head.endswith(b"\r") else head):  # whether that is one line end or two, no row
                pass
        self._left = piece.end - piece.start
        self._start = piece.start
        file.seek(piece.start)
        cutter.line, cutter.offset = piece.line, piece.start
        self._fed = self._given = piece.start
        self.size = self._left

    @property
    def bytes_read(self) -> int:
        """Bytes of the part that were read for the rows that were taken."""
        return self._given - self._start

    def _read_file(self) -> bytes:
        chunk = self._file.read(min(CHUNK_BYTES, self._left)) if self._left else b""
        if not chunk and self._left:
            raise EOFError("it is shorter than it was when the run was planned")
        self._left -= len(chunk)
        return chunk

    def _first_chunk(self) -> bytes:
        self._started = True  # what the file is was seen when the run was planned
        return self._read()

    def _see_that_it_is_whole(self) -> None:
        """It was seen with each chunk."""

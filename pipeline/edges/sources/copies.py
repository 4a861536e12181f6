"""Copies of rows in files of our own, for inputs that cannot be read from the middle: packed files, documents, other encodings, stdin.

A copy gives exactly the rows that were read, bad ones included. It is a sequence of blocks, each of which is its length in 8 bytes
and that many bytes of MessagePack: a list of rows as (line, offset, data, problem).
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.rows.lines import RawRow
from pipeline.edges.sources.one_by_one import RowsOneByOne
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LENGTH_BYTES = 8
BLOCK_ROWS = 512  # rows of a block, all of which are in memory at once

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, int, Any, str | None]]).decode


class RowsCopy:
    """A copy in the making. Close it. Whatever it raises is OSError."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._hash = sha256()
        self.size = 0

    def add(self, rows: Sequence[RawRow]) -> None:
        """Copy rows."""
        for at in range(0, len(rows), BLOCK_ROWS):
            block = _encode([(row.line, row.offset, row.data, row.problem) for row in rows[at : at + BLOCK_ROWS]])
            block = len(block).to_bytes(LENGTH_BYTES, "little") + block
            self._file.write(block)
            self._hash.update(block)
            self.size += len(block)

    @property
    def digest(self) -> str:
        """SHA-256 of the copy, in hex."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Put the copy on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class CopiedRows(RowsOneByOne):
    """A `Source` of the rows in a copy."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__(str(path), self._each_row())
        self.length: int | None = length
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        self.size: int | None = os.fstat(self._file.fileno()).st_size
        self.bytes_read = 0

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _each_row(self) -> Iterator[RawRow]:
        try:
            while head := self._file.read(LENGTH_BYTES):
                block = self._file.read(int.from_bytes(head, "little"))
                for line, offset, data, problem in _decode(block):
                    yield RawRow(line, offset, data, problem)
                self.bytes_read += len(head) + len(block)
        except (OSError, msgspec.DecodeError) as error:
            self._error = InputError(f"{self.name}: the copy of the input cannot be read: {error}")
            raise self._error from error

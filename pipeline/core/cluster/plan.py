"""Where an input is cut into shards, so that each can be run on its own and all results stand in the order of the input afterwards.

A shard is a stretch of consecutive rows. It is made of pieces, one for each file that it reaches into, and a piece says how its rows
are read without reading those before them. Nothing here reads anything: `Cutting` is told what stands where.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003  msgspec reads the annotations
from enum import Enum

from msgspec import Struct, field


class Reading(Enum):
    """How the rows of a piece are read: as lines between two bytes, as a table between two bytes, by number, or from a copy of them."""

    LINES = "lines"
    TABLE = "table"
    NUMBERED = "numbered"
    COPY = "copy"


class Piece(Struct, frozen=True):
    """Some rows of one file. path: of the file, or of the copy within the run directory. file: its place among several; None for one.

    start, end: bytes of the text; of numbered rows, their numbers. line: where the first one stands. head: of a table, how many bytes
    come before its first row. digest: SHA-256 over these bytes, in hex; "" for numbered rows.
    """

    reading: Reading
    path: str
    rows: int
    start: int = 0
    end: int = 0
    line: int = 1
    head: int = 0
    digest: str = ""
    file: int | None = None


class Shard(Struct, frozen=True):
    """A stretch of the input. number: its place among the shards. first: index of its first row in the whole input.

    repeats: how many of its rows use the id of an earlier row.
    """

    number: int
    first: int
    rows: int
    pieces: Sequence[Piece]
    repeats: int = 0


class InputFile(Struct, frozen=True):
    """A file of the input as it was when the plan was made. name: what messages call it. modified: nanoseconds since the epoch."""

    path: str
    name: str
    size: int
    digest: str
    modified: int = 0


class Plan(Struct, frozen=True):
    """All shards of an input. Two runs with the same plan read the same rows. name: no other plan has it."""

    rows: int
    shard_rows: int
    files: Sequence[InputFile]
    shards: Sequence[Shard] = field(default_factory=list)
    name: str = ""


class Cutting:
    """Puts rows into shards of equal length, the last of which may be shorter. Told of the rows in their order.

    `room` says how many rows the shard takes that is being filled. What is added with one `add` is one piece.
    """

    def __init__(self, shard_rows: int) -> None:
        self._most = shard_rows
        self._pieces: list[Piece] = []
        self._filled = 0
        self.rows = 0
        self.shards: list[Shard] = []

    @property
    def room(self) -> int:
        """How many more rows the shard takes; never 0."""
        return self._most - self._filled

    def add(self, piece: Piece) -> None:
        """Add the next rows, at most as many as there is room for."""
        if not piece.rows:
            return
        assert piece.rows <= self.room
        self._pieces.append(piece)
        self._filled += piece.rows
        self.rows += piece.rows
        if not self.room:
            self.end()

    def end(self) -> None:
        """End the shard that is being filled, if it has any rows."""
        if self._pieces:
            self.shards.append(Shard(len(self.shards), self.rows - self._filled, self._filled, self._pieces))
            self._pieces = []
            self._filled = 0

"""A finished row on its way to the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.edges.store.long_lines import Slot
from pipeline.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WRITE_BYTES = 4 << 20  # appended to the output at once
SLOT_BYTES = 400  # of memory, for a row whose line is on disk

Counts = tuple[bool, Usage, int, str | None, int]  # whether it succeeded, what it used, its term, why it ended, answers rejected before


class Entry(Struct, eq=False):
    """A finished row as it is written.

    place: line number in the output, from 0; in input order that is its index. line: the line, or where it is on disk.
    counts: what the row adds to the state's counters, until that is done. spooled: the spool has the line.
    stored: the journal has it.
    """

    index: int
    place: int
    line: bytes | Slot
    counts: Counts | None = None
    spooled: bool = False
    stored: bool = False

    def text(self) -> bytes:
        """The line. Blocks where it is on disk. Raises JournalError."""
        return self.line.read() if isinstance(self.line, Slot) else self.line

    def size(self) -> int:
        """Bytes of memory that it takes."""
        return SLOT_BYTES if isinstance(self.line, Slot) else len(self.line)


def pieces(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines in groups of about WRITE_BYTES, so that few long ones are in memory at once."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line)
        if size >= WRITE_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group

"""A finished row on its way to the output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.ledger import Counted  # noqa: TC001  a struct's fields are resolved at run time
from pipeline.edges.store.long_lines import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WRITE_BYTES = 4 << 20  # appended to the output at once
SLOT_BYTES = 400  # of memory, for a row whose line is on disk


class Entry(Struct, eq=False):
    """A finished row as it is written.

    place: line number in the output, from 0; in input order that is its index. line: the line, or where it is on disk.
    counts: what the row adds to the state's counters; None if that was counted by an earlier process. term: what the row is
    recognised by. spooled: the spool has the line. stored: the journal has it, and the row is counted.
    """

    index: int
    place: int
    line: bytes | Slot
    counts: Counted | None = None
    term: int = 0
    spooled: bool = False
    stored: bool = False

    def text(self) -> bytes:
        """The line. Blocks where it is on disk. Raises JournalError."""
        return self.line.read() if isinstance(self.line, Slot) else self.line


def size_of(entries: Iterable[Entry]) -> int:
    """Bytes of memory that rows take."""
    lines = [entry.line for entry in entries]
    return sum([len(line) if isinstance(line, bytes) else SLOT_BYTES for line in lines])


def texts(entries: Sequence[Entry], buffer: bytearray) -> Iterator[bytes | memoryview | Slot]:
    """The lines of rows, as texts of about WRITE_BYTES, or the slot of a longer line. Each must be used before the next.

    buffer: where lines from the disk are put; it grows once, and is free for the caller whenever a slot is given. Blocks where some lines
    are on disk. Raises JournalError.
    """
    if any(isinstance(entry.line, Slot) for entry in entries):
        if not buffer:
            buffer.extend(bytes(WRITE_BYTES))
        yield from _gathered(entries, memoryview(buffer))
        return
    lines = [entry.line for entry in entries if isinstance(entry.line, bytes)]
    if sum(map(len, lines)) <= WRITE_BYTES:
        yield b"".join(lines)
    else:
        yield from map(b"".join, pieces(lines))


def _gathered(entries: Sequence[Entry], buffer: memoryview) -> Iterator[bytes | memoryview | Slot]:
    """The same where lines are on disk: new memory for each of them costs as much as reading it."""
    used = 0
    for entry in entries:
        line = entry.line
        size = line.length if isinstance(line, Slot) else len(line)
        if used + size > WRITE_BYTES:
            yield buffer[:used]
            used = 0
        if size > WRITE_BYTES:
            yield line
        elif isinstance(line, Slot):
            line.read_into(buffer[used : used + size])
            used += size
        else:
            buffer[used : used + size] = line
            used += size
    yield buffer[:used]


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

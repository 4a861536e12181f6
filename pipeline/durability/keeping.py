"""Outcomes from their arrival until their commit: which lines the spool has, and when it may forget them.

The spool's generations follow the commits (see `spool`). When every short line in the spool is recorded, the generation is
closed before a commit. The commit after that one stores whatever of it the output still lacks, so then it is cleared. Slots of long
lines are freed by the commit that says that their lines are written.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import trio
from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.core.output.kept import with_fields
from pipeline.edges.store.spool import LONG_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pipeline.edges.store.long_lines import Slot
    from pipeline.edges.store.spool import Spool
    from pipeline.records import Outcome

LONGEST_BYTES = 8 << 20  # a longer answer is written by the recorder's thread alone: it would hold up the event loop for 15 ms and more


class Keeping(Struct, eq=False):
    """The spool, and what is in it.

    encode: an outcome as a line. takes_bodies: long bodies are taken out of memory; not where somebody else needs them.
    is_behind: some outcome could not be kept and is not recorded yet.
    """

    spool: Spool
    encode: Callable[[Outcome], bytes]
    takes_bodies: bool = True
    is_behind: bool = False
    _lines: dict[int, bytes] = field(default_factory=dict)  # short lines that the spool has, of rows that are not recorded
    _slots: dict[int, Slot] = field(default_factory=dict)  # long ones
    _unkept: set[int] = field(default_factory=set)  # rows that have an outcome and are neither kept nor recorded
    _caught_up: trio.Event = field(default_factory=trio.Event)
    _written: list[Slot] = field(default_factory=list)  # slots whose lines the output has, since the last commit
    _to_free: list[Slot] = field(default_factory=list)  # those that the commit in progress says are written
    _is_closed: bool = False  # the last commit has closed a generation
    _to_clear: bool = False  # the commit in progress stores the rest of it

    def rows(self) -> list[int]:
        """The rows whose outcomes are kept and not recorded."""
        return [*self._lines, *self._slots]

    def keep(self, outcome: Outcome, term: int, kept: bytes = b"") -> Outcome:
        """Put an outcome in the spool, if there is room. Gives what is to be recorded in its place.

        kept: fields of its row that go into its line.
        """
        body = outcome.body
        if body is None or len(body) <= LONGEST_BYTES:
            line = with_fields(self.encode(outcome), kept) if kept else self.encode(outcome)
            if len(line) < LONG_BYTES:
                if self.spool.put(line, term):
                    self._lines[outcome.index] = line
                    return outcome
            else:
                slot = self.spool.put_long(line, term)
                if slot is not None:
                    self._slots[outcome.index] = slot
                    return replace(outcome, body=b"") if self.takes_bodies else outcome
        self._unkept.add(outcome.index)
        if not self.is_behind:
            self.is_behind, self._caught_up = True, trio.Event()
        return outcome

    async def catch_up(self) -> None:
        """Wait until all outcomes that could not be kept are recorded."""
        await self._caught_up.wait()

    def take(self, indexes: Sequence[int]) -> list[bytes | Slot | None]:
        """The lines of rows that are being recorded, or where they are; None where the spool does not have one."""
        lines: list[bytes | Slot | None] = list(map(self._lines.pop, indexes, repeat(None)))
        if self._slots and not all(lines):
            lines = [self._slots.pop(index, None) if line is None else line for index, line in zip(indexes, lines, strict=True)]
        return lines

    def note_written(self, slots: list[Slot]) -> None:
        """The output has long lines."""
        self._written += slots

    def begin_commit(self) -> None:
        """A commit is made of all that is recorded and written up to now."""
        self._to_free, self._written = self._written, []
        self._to_clear = self._is_closed
        self._is_closed = not self._to_clear and not self._lines
        if self._is_closed:
            self.spool.rotate()

    def end_commit(self, recorded: Iterable[int]) -> None:
        """It is made, and these rows are recorded. Raises JournalError."""
        self.spool.free(self._to_free)
        if self._to_clear:
            self.spool.clear()
        if self._unkept:
            self._unkept.difference_update(recorded)
            if not self._unkept:
                self.is_behind = False
                self._caught_up.set()

    def finish(self) -> None:
        """Remove the spool, unless something was kept and not recorded, while the recorder was being cut off. Raises JournalError."""
        if not (self._lines or self._slots):
            self.spool.remove()

"""Rows that are recorded and neither in the journal nor written, and which of them the next commit stores.

What a commit takes. Each call of `record` ends in one commit, which stores what is still under way from the call before:
most of it is in the output by then and is never written to the journal. What this call has recorded is in the spool for
as long, and waits for the next commit. There are exceptions:

- Under `durability: power` a commit stores everything at once, because the spool does not survive the machine.
- What the spool had no room for, and an answer that is too long for it, is stored at once. Until then `is_behind` is true
  and no worker takes another row, so that no more answers are at risk than attempts may be in flight.
- A long line stays in its slot of the spool until it is written, however long that takes. `finish` stores it if the run
  ends first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.edges.store.long_lines import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.durability.entries import Entry


class UnderWay:
    """The entries of such rows, in the order in which they were recorded."""

    __slots__ = ("_entries", "_storing")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._storing: list[Entry] = []  # what the commit that is being made stores

    def add(self, entries: Iterable[Entry]) -> None:
        """Take rows that were just recorded."""
        self._entries += entries

    def to_store(self, new: Sequence[Entry], *, at_once: bool) -> list[Entry]:
        """What the next commit stores of these rows and of those that were there; the others stay, or are new here.

        new: rows that were just recorded. at_once: everything, because the spool does not survive or the run ends.
        """
        waiting = [entry for entry in self._entries if not entry.stored and (at_once or not isinstance(entry.line, Slot))]
        storing = [*waiting, *(entry for entry in new if at_once or not entry.spooled)]
        self._entries = [entry for entry in self._entries if isinstance(entry.line, Slot)]
        self._entries += [entry for entry in new if entry.spooled and (not at_once or isinstance(entry.line, Slot))]
        for entry in storing:
            entry.stored = True
        self._storing = storing
        return storing

    def stored(self) -> None:
        """The commit has been made: the journal has what it stored."""
        self._storing = []

    def between(self, first: int, end: int) -> dict[int, Entry]:
        """Those of the rows `[first, end)` that the journal may not have yet, by their index."""
        return {entry.index: entry for entry in (*self._entries, *self._storing) if first <= entry.index < end}

    def forget_before(self, place: int) -> None:
        """The output holds all lines before this place."""
        self._entries = [entry for entry in self._entries if entry.place >= place]

    def indexes(self) -> list[int]:
        """The rows that are here."""
        return [entry.index for entry in self._entries]

"""Puts outcomes back in input order: a window of finished rows that wait for an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.records import Outcome


class ReorderWindow:
    """Takes outcomes in any order, gives them out in the order of their index, each once.

    Its size is bounded by the credits of whoever feeds it, not here.
    """

    def __init__(self, first: int = 0) -> None:
        self._next = first
        self._waiting: dict[int, Outcome] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_index(self) -> int:
        """The index that everything behind it waits for."""
        return self._next

    def push(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Take outcomes; return those that are now in order.

        Raises ValueError for an index that was taken before: a row would be written twice.
        """
        waiting = self._waiting
        for outcome in outcomes:
            index = outcome.index
            if index < self._next or index in waiting:
                msg = f"row {index} has two outcomes"
                raise ValueError(msg)
            waiting[index] = outcome
        ready = []
        head = self._next
        while head in waiting:
            ready.append(waiting.pop(head))
            head += 1
        self._next = head
        return ready

"""Puts finished rows back in input order: a window of those that wait for an earlier one, in memory or left to a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pipeline.core.bookkeeping.intervals import Intervals

if TYPE_CHECKING:
    from collections.abc import Sequence


class Indexed(Protocol):
    """What can be ordered: anything with the index of its row."""

    @property
    def index(self) -> int:
        """0-based place of the row in the input."""


T = TypeVar("T", bound=Indexed)


class ReorderWindow(Generic[T]):
    """Takes rows in any order, gives them out in the order of their index, each once.

    first: index of the first row to come. held: rows that already wait elsewhere (in a journal) and will not be pushed.
    How many wait in memory is bounded by the credits of its feeder, and by `spill`.
    """

    def __init__(self, first: int = 0, held: Intervals | None = None) -> None:
        self._next = first
        self._waiting: dict[int, T] = {}
        self._held = Intervals() if held is None else held

    def __len__(self) -> int:
        """How many rows wait in memory."""
        return len(self._waiting)

    @property
    def next_index(self) -> int:
        """The index that everything behind it waits for."""
        return self._next

    def push(self, items: Sequence[T]) -> list[T]:
        """Take rows; return those that are now in order.

        Raises ValueError for an index that was taken before: a row would be written twice.
        """
        waiting, head = self._waiting, self._next
        indexes = [item.index for item in items]
        if min(indexes, default=head) < head or len({*indexes}) < len(indexes) or not waiting.keys().isdisjoint(indexes) or len(self._held):
            self._refuse_second(indexes)
        waiting.update(zip(indexes, items, strict=True))
        end = head
        while end in waiting:
            end += 1
        self._next = end
        return list(map(waiting.pop, range(head, end)))

    def _refuse_second(self, indexes: list[int]) -> None:
        """Raise for an index that was taken before."""
        new: set[int] = set()
        for index in indexes:
            if index < self._next or index in self._waiting or index in self._held or index in new:
                message = f"row {index} has two outcomes"
                raise ValueError(message)
            new.add(index)

    def spill(self) -> int:
        """Forget all that wait, since they are kept elsewhere too; how many they were."""
        count = len(self._waiting)
        for index in self._waiting:
            self._held.add(index, index + 1)
        self._waiting.clear()
        return count

    def take_held(self, most: int) -> tuple[int, int]:
        """The next rows in order that wait elsewhere: the index of the first, and how many (0 if none is next)."""
        first = self._next
        count = self._held.take(first, most)
        self._next += count
        return first, count

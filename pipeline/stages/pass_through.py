"""The store of a flow without files: outcomes stay in memory and are handed to a function of yours when it is their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.bookkeeping.intervals import Intervals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.records import Outcome


@define(eq=False)
class PassThrough:
    """A `Store` that keeps nothing.

    emit: takes a group of outcomes; their rows have left the flow when it returns.
    """

    emit: Callable[[list[Outcome]], Awaitable[None]]
    held: Intervals = field(factory=Intervals, init=False)
    first_index: int = field(default=0, init=False)
    has_room: bool = field(default=False, init=False)
    is_behind: bool = field(default=False, init=False)
    linger_seconds: float = field(default=0.01, init=False)
    lingers: int = field(default=1, init=False)

    def begin(self, rows: Sequence[RawRow], first: int) -> Collection[int]:  # noqa: ARG002  the port's arguments, here and below
        """No row is done before it is read."""
        return ()

    def left(self, index: int) -> None:
        """Nothing survives the process."""

    def cleared(self, index: int) -> None:
        """Nothing survives the process."""

    def keep(self, outcome: Outcome) -> Outcome:
        """The outcome, as it is."""
        return outcome

    async def catch_up(self) -> None:
        """There is nothing to wait for."""

    async def record(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, as they are."""
        return outcomes

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Nothing survives the flow."""

    async def read_back(self, first: int, count: int) -> list[Outcome]:
        """Raises LookupError: nothing may be left here."""
        raise LookupError(f"rows {first} to {first + count - 1} were not left here")

    def size_of(self, items: Sequence[Outcome]) -> int:
        """The bytes of their bodies."""
        return sum([len(item.body or b"") for item in items])

    async def write(self, items: list[Outcome]) -> None:
        """Hand them over."""
        await self.emit(items)

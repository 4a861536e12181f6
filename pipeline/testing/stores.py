"""What every `Store` must do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from pipeline.core.rows.lines import RawRow
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.ports import Store

LENGTHS = (10, 3_000, 200_000, 2_000_000)  # bytes of answers: a store may keep long ones in another place


def outcome_of(index: int, length: int = 10) -> Outcome:
    """An outcome of a row with an answer of about this length; every fifth is a failure."""
    if index % 5 == 3:
        return Failure(index, f"row-{index}", FailureKind.TIMEOUT, "late")
    return Success(index, f"row-{index}", 200, None, b'{"text":"%s"}' % (b"a" * length), NO_USAGE, 1, 0.5)


class StoreContract:
    """What every `Store` must do. `store` gives a fresh one; `written` says what has left it, in that order.

    `as_written` says in what form an outcome leaves, if not as it is: the line of a file, the values of a table.
    """

    @pytest.fixture
    def store(self) -> Iterator[Store[Any]]:
        """The store that is tested."""
        raise NotImplementedError

    def written(self, store: Store[Any]) -> list[Any]:
        """All that `write` has written."""
        raise NotImplementedError

    def as_written(self, outcome: Outcome) -> Any:
        """What is written of an outcome."""
        return outcome

    def begin(self, store: Store[Any], count: int) -> None:
        """Have the store note the first rows of an input, and that all of them leave."""
        done = store.begin([RawRow(index + 1, index, b"{}") for index in range(count)], 0)
        assert not any(index in done for index in range(count))
        for index in range(count):
            store.left(index)

    def test_a_new_one_holds_nothing(self, store: Store[Any]) -> None:
        """Nothing waits in it, and the first row is the first of the input."""
        assert not list(store.held)
        assert store.first_index == 0
        assert store.linger_seconds >= 0
        assert store.lingers >= 1
        assert not store.is_behind

    def test_a_row_may_leave_again_after_it_was_cleared(self, store: Store[Any]) -> None:
        """An attempt that failed is followed by another."""
        self.begin(store, 1)
        store.cleared(0)
        store.left(0)

    @pytest.mark.parametrize("kept", [True, False])
    @pytest.mark.parametrize("length", LENGTHS)
    def test_what_was_recorded_and_written_is_the_output_in_that_order(self, store: Store[Any], length: int, kept: bool) -> None:  # noqa: FBT001
        """`keep` may be skipped, outcomes come in any order, and an empty list is no reason to write anything."""

        async def main() -> None:
            outcomes = [outcome_of(index, length) for index in (2, 0, 1, 3, 5, 4)]
            items = await store.record([store.keep(outcome) if kept else outcome for outcome in outcomes])
            items.sort(key=lambda item: item.index)
            await store.write(items[:4])
            assert await store.record([]) == []
            await store.write(items[4:])

        self.begin(store, 6)
        trio.run(main)

        assert self.written(store) == [self.as_written(outcome_of(index, length)) for index in range(6)]

    def test_an_item_comes_back_for_each_outcome_in_the_same_order(self, store: Store[Any]) -> None:
        """Items are put in order by their `index`."""

        async def main() -> list[int]:
            return [item.index for item in await store.record([store.keep(outcome_of(index)) for index in (3, 1, 0)])]

        self.begin(store, 4)

        assert trio.run(main) == [3, 1, 0]

    def test_rows_that_were_left_here_are_read_back_as_they_were(self, store: Store[Any]) -> None:
        """A store with room gives recorded rows again when their turn comes; one without raises LookupError."""

        async def main() -> None:
            if not store.has_room:
                with pytest.raises(LookupError):
                    await store.read_back(0, 1)
                return
            for group in ([7, 1, 2], [3], [], [4, 5], [6, 0]):
                await store.record([store.keep(outcome_of(index, LENGTHS[index % 4])) for index in group])
            await store.write(await store.read_back(0, 3))
            await store.record([])
            await store.write(await store.read_back(3, 5))

        self.begin(store, 8)
        trio.run(main)

        rows = range(8 if store.has_room else 0)
        assert self.written(store) == [self.as_written(outcome_of(index, LENGTHS[index % 4])) for index in rows]

    def test_what_is_recorded_in_a_cancellation_does_not_wait(self, store: Store[Any]) -> None:
        """The flow is being cancelled; what it hands over now must be durable all the same."""

        async def main() -> None:
            with trio.CancelScope() as scope:
                scope.cancel()
                store.record_now([store.keep(outcome_of(0)), outcome_of(1)])
                if store.has_room:
                    with trio.CancelScope(shield=True):
                        assert [item.index for item in await store.read_back(0, 2)] == [0, 1]

        self.begin(store, 2)
        trio.run(main)

    def test_a_cancelled_record_or_write_has_done_nothing_or_all(self, store: Store[Any]) -> None:
        """What was cancelled can be done again, and nothing is written twice."""

        async def main() -> None:
            items: list[Any] = []
            with trio.CancelScope() as recording:
                recording.cancel()
                items = await store.record([outcome_of(0)])
            if recording.cancelled_caught:
                items = await store.record([outcome_of(0)])
            with trio.CancelScope() as writing:
                writing.cancel()
                await store.write(items)
            if writing.cancelled_caught:
                await store.write(items)

        self.begin(store, 1)
        trio.run(main)

        assert self.written(store) == [self.as_written(outcome_of(0))]

    def test_items_say_how_much_memory_they_take(self, store: Store[Any]) -> None:
        """More items take more."""

        async def main() -> list[Any]:
            return await store.record([store.keep(outcome_of(index, LENGTHS[1])) for index in range(2)])

        self.begin(store, 2)
        items = trio.run(main)

        assert store.size_of([]) == 0 < store.size_of(items[:1]) < store.size_of(items)

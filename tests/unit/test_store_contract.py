"""The contract of the port `Store`, held against every implementation: the files of a run, memory alone, and the fake of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio

from pipeline.core.output.lines import encode_batch
from pipeline.core.rows.lines import RawRow
from pipeline.durability import keeping
from pipeline.durability import store as durable_store
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success
from pipeline.stages.pass_through import PassThrough
from tests.fakes.stores import FakeStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.ports import Store

LENGTHS = (10, 3_000, 200_000, 2_000_000)  # of answers: in the spool among others, and in a file of their own


def outcome_of(index: int, length: int = 10) -> Outcome:
    if index % 5 == 3:
        return Failure(index, f"row-{index}", FailureKind.TIMEOUT, "late")
    return Success(index, f"row-{index}", 200, None, b'{"text":"%s"}' % (b"a" * length), NO_USAGE, 1, 0.5)


class StoreContract:
    """What every store must do. `store` gives a fresh one; `lines` what was written to it, as lines of the output."""

    @pytest.fixture
    def store(self) -> Iterator[Store[Any]]:
        raise NotImplementedError

    def lines(self, store: Store[Any]) -> list[bytes]:
        raise NotImplementedError

    def begin(self, store: Store[Any], count: int) -> None:
        done = store.begin([RawRow(index + 1, index, b"{}") for index in range(count)], 0)
        assert not any(index in done for index in range(count))
        for index in range(count):
            store.left(index)

    def test_a_new_one_holds_nothing(self, store: Store[Any]) -> None:
        assert not list(store.held)
        assert store.first_index == 0
        assert store.linger_seconds >= 0

    def test_a_row_may_leave_again_after_it_was_cleared(self, store: Store[Any]) -> None:
        self.begin(store, 1)
        store.cleared(0)
        store.left(0)

    @pytest.mark.parametrize("kept", [True, False])
    @pytest.mark.parametrize("length", LENGTHS)
    async def test_what_was_recorded_and_written_is_the_output_in_that_order(self, store: Store[Any], length: int, kept: bool) -> None:  # noqa: FBT001
        self.begin(store, 6)
        outcomes = [outcome_of(index, length) for index in (2, 0, 1, 3, 5, 4)]
        items = await store.record([store.keep(outcome) if kept else outcome for outcome in outcomes])
        items.sort(key=lambda item: item.index)

        await store.write(items[:4])
        assert await store.record([]) == []
        await store.write(items[4:])

        assert self.lines(store) == [encode_batch(outcome_of(index, length)) for index in range(6)]

    async def test_an_item_comes_back_for_each_outcome_in_the_same_order(self, store: Store[Any]) -> None:
        self.begin(store, 4)

        items = await store.record([store.keep(outcome_of(index)) for index in (3, 1, 0)])

        assert [item.index for item in items] == [3, 1, 0]

    async def test_rows_that_were_left_here_are_read_back_as_they_were(self, store: Store[Any]) -> None:
        self.begin(store, 8)
        if not store.has_room:
            with pytest.raises(LookupError):
                await store.read_back(0, 1)
            return
        for group in ([7, 1, 2], [3], [], [4, 5], [6, 0]):  # some are in a commit, some not yet
            await store.record([store.keep(outcome_of(index, LENGTHS[index % 4])) for index in group])

        await store.write(await store.read_back(0, 3))
        await store.record([])
        await store.write(await store.read_back(3, 5))

        assert self.lines(store) == [encode_batch(outcome_of(index, LENGTHS[index % 4])) for index in range(8)]

    async def test_what_is_recorded_in_a_cancellation_does_not_wait(self, store: Store[Any]) -> None:
        self.begin(store, 2)
        with trio.CancelScope() as scope:
            scope.cancel()
            store.record_now([store.keep(outcome_of(0)), outcome_of(1)])
            if store.has_room:
                with trio.CancelScope(shield=True):
                    assert [item.index for item in await store.read_back(0, 2)] == [0, 1]

    async def test_items_say_how_much_memory_they_take(self, store: Store[Any]) -> None:
        self.begin(store, 2)

        items = await store.record([store.keep(outcome_of(index, LENGTHS[1])) for index in range(2)])

        assert store.size_of([]) == 0 < store.size_of(items[:1]) < store.size_of(items)


class TestDurable(StoreContract):
    """The files of a run."""

    power = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store[Any]]:
        self.output = tmp_path / "out.jsonl"
        durable = open_durable(Paths.of(str(self.output), None), Kind(encode_batch, in_order=True, power=self.power), {})
        yield durable
        durable.close()

    def lines(self, store: Store[Any]) -> list[bytes]:
        return self.output.read_bytes().splitlines(keepends=True)

    async def test_an_answer_too_long_for_the_event_loop_is_stored_by_the_recorder(
        self, store: Store[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (keeping, durable_store):
            monkeypatch.setattr(module, "LONGEST_BYTES", LENGTHS[1])
        self.begin(store, 2)

        outcomes = [store.keep(outcome_of(0, LENGTHS[2])), store.keep(outcome_of(1, LENGTHS[1] - 100))]
        assert store.is_behind
        items = await store.record(outcomes[1:])
        assert store.is_behind
        items = await store.record(outcomes[:1]) + items
        assert not store.is_behind
        await store.catch_up()
        await store.write(items)

        assert self.lines(store) == [encode_batch(outcome_of(0, LENGTHS[2])), encode_batch(outcome_of(1, LENGTHS[1] - 100))]

    async def test_answers_that_are_too_long_for_the_event_loop_do_not_go_through_the_database(
        self, store: Store[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (keeping, durable_store):
            monkeypatch.setattr(module, "LONGEST_BYTES", LENGTHS[1])
        self.begin(store, 3)
        outcomes = [outcome_of(index, LENGTHS[3] + index) for index in range(3)]

        items = await store.record([store.keep(outcome) for outcome in outcomes])

        journal = sum(path.stat().st_size for path in self.output.parent.iterdir() if path.name.endswith((".journal", ".journal-wal")))
        assert (journal > 3 * LENGTHS[3]) == self.power
        assert (store.size_of(items) > 3 * LENGTHS[3]) == self.power
        await store.write(items)
        await store.record([])
        assert self.lines(store) == [encode_batch(outcome) for outcome in outcomes]

    async def test_its_files_grow_with_what_is_under_way_and_not_with_what_passes(self, store: Store[Any]) -> None:
        rounds, rows = 60, 50
        self.begin(store, rounds * rows)
        for first in range(0, rounds * rows, rows):
            outcomes = [outcome_of(index, LENGTHS[2] if index == first else LENGTHS[1]) for index in range(first, first + rows)]
            await store.write(await store.record([store.keep(outcome) for outcome in outcomes]))

        sizes = {path.name: path.stat().st_size for path in self.output.parent.iterdir()}

        assert sizes["out.jsonl"] > 10_000_000
        assert sizes["out.jsonl.journal.spool"] <= 3 << 20
        assert sizes["out.jsonl.journal.spool.long"] <= 3 * LENGTHS[2]
        assert sizes["out.jsonl.journal"] + sizes["out.jsonl.journal-wal"] < 20 << 20


class TestDurableAgainstPowerLoss(TestDurable):
    """The same, waiting for the disk."""

    power = True


class TestPassThrough(StoreContract):
    """Memory alone."""

    @pytest.fixture
    def store(self) -> Store[Any]:
        self.emitted: list[Outcome] = []
        return PassThrough(self.emit)

    async def emit(self, outcomes: list[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.emitted += outcomes

    def lines(self, store: Store[Any]) -> list[bytes]:
        return [encode_batch(outcome) for outcome in self.emitted]


class TestFake(StoreContract):
    """What the tests of the stages use."""

    @pytest.fixture
    def store(self) -> Store[Any]:
        return FakeStore()

    def lines(self, store: Store[Any]) -> list[bytes]:
        assert isinstance(store, FakeStore)
        return [encode_batch(outcome) for outcome in store.written]

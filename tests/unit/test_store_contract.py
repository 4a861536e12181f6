"""The contract of the port `Store`, held against every implementation: the files of a run, memory alone, and the fake of the tests."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import trio

import pipeline
from pipeline.core.output.lines import encode_batch
from pipeline.durability import keeping
from pipeline.durability import store as durable_store
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.stages.pass_through import PassThrough
from pipeline.testing.stores import LENGTHS, outcome_of
from tests.fakes.stores import FakeStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.durability.store import DurableStore
    from pipeline.ports import Store
    from pipeline.records import Outcome


class LinesContract(pipeline.StoreContract):
    """Of stores whose output is compared as lines."""

    def as_written(self, outcome: Outcome) -> bytes:
        return encode_batch(outcome)


class TestDurable(LinesContract):
    """The files of a run."""

    power = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store[Any]]:
        self.output = tmp_path / "out.jsonl"
        durable = self.opened()
        yield durable
        durable.close()

    def opened(self) -> DurableStore:
        return open_durable(Paths.of(str(self.output), None), Kind(encode_batch, in_order=True, power=self.power), {})

    def written(self, store: Store[Any]) -> list[bytes]:
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

        assert self.written(store) == [encode_batch(outcome_of(0, LENGTHS[2])), encode_batch(outcome_of(1, LENGTHS[1] - 100))]

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
        assert self.written(store) == [encode_batch(outcome) for outcome in outcomes]

    async def test_a_run_that_has_ended_leaves_no_spool(self, store: DurableStore) -> None:
        self.begin(store, 3)
        outcomes = [store.keep(outcome_of(index, LENGTHS[index])) for index in range(3)]
        await store.write(await store.record(outcomes))

        store.finish(3)

        assert sorted(path.name for path in self.output.parent.glob("*.spool*")) == []

    @pytest.mark.parametrize("length", [LENGTHS[0], LENGTHS[2]])
    async def test_an_answer_that_was_kept_and_not_recorded_outlives_the_end_of_the_run(self, store: DurableStore, length: int) -> None:
        self.begin(store, 1)
        store.keep(outcome_of(0, length))
        store.finish(1)
        store.close()

        with closing(self.opened()) as again:
            assert 0 in again.recorded()

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


class TestPassThrough(LinesContract):
    """Memory alone."""

    @pytest.fixture
    def store(self) -> Store[Any]:
        self.emitted: list[Outcome] = []
        return PassThrough(self.emit)

    async def emit(self, outcomes: list[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.emitted += outcomes

    def written(self, store: Store[Any]) -> list[bytes]:
        return [encode_batch(outcome) for outcome in self.emitted]


class TestFake(LinesContract):
    """What the tests of the stages use."""

    @pytest.fixture
    def store(self) -> Store[Any]:
        return FakeStore()

    def written(self, store: Store[Any]) -> list[bytes]:
        assert isinstance(store, FakeStore)
        return [encode_batch(outcome) for outcome in store.written]

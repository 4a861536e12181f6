"""Ids are claimed once, wherever they are kept, and the memory for them does not grow."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from pipeline.core.rows import ids
from pipeline.core.rows.ids import MAX_PREFIXES, PAGE_BITS, DigestStore, MemoryStore, SeenIds
from pipeline.edges.store.seen import SeenOnDisk
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

STORES: list[Callable[[], DigestStore]] = [MemoryStore, SeenOnDisk]


@pytest.mark.parametrize("make_store", STORES)
def test_an_id_is_taken_after_its_first_claim(make_store: Callable[[], DigestStore]) -> None:
    store = make_store()
    seen = SeenIds(store)

    first = seen.claim(["a", "row-1", "b", "a"], [1, 2, 3, 4])
    second = seen.claim(["c", "row-1", "b", "row-2"], [5, 6, 7, 8])

    assert first == {3: 1}
    assert second == {1: None, 2: 3}
    store.close()


@pytest.mark.parametrize("make_store", STORES)
def test_ids_that_look_alike_differ(make_store: Callable[[], DigestStore]) -> None:
    alike = [
        "1", "01", "001", "a1", "a01", "a-1", "a1 ", "a0", "a00", "0", "00", "a", "", "10", "1١", "a١", "a²",
        f"x{2**63}", f"x{2**64}", "x" + "9" * 30, "x" + "0" * 30 + "1", "8191", "8192", "a8192",
    ]  # fmt: skip
    store = make_store()
    seen = SeenIds(store)

    assert seen.claim(alike, range(1, len(alike) + 1)) == {}
    assert set(seen.claim(alike, range(100, len(alike) + 100))) == set(range(len(alike)))
    store.close()


def test_numbers_beyond_the_pages_go_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MAX_PAGES", 2)
    monkeypatch.setattr(ids, "MAX_PREFIXES", 1)
    names = [f"a{number}" for number in range(0, 80_000, 7_000)] + ["b1", "c1"]
    seen = SeenIds(MemoryStore())

    assert seen.claim(names, range(1, len(names) + 1)) == {}
    assert set(seen.claim(names, range(100, 100 + len(names)))) == set(range(len(names)))


@pytest.mark.parametrize("name", ["request-{}", "{}", "row-{:09d}"])
def test_numbered_ids_cost_a_bit_each(name: str) -> None:
    seen = SeenIds(SeenOnDisk())
    tracemalloc.start()

    for first in range(0, 30_000, 1_000):
        seen.claim([name.format(number) for number in range(first, first + 1_000)], range(first, first + 1_000))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 20_000


def test_numbers_far_apart_have_bounded_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MAX_PAGES", 5)
    seen = SeenIds(MemoryStore())

    seen.claim([f"a{number}" for number in range(0, 10**9, 10**7)], range(1, 101))

    assert sum(map(len, seen._prefixes.values())) == 5


def test_a_disk_that_refuses_is_an_input_error() -> None:
    store = SeenOnDisk()
    store.add([(1, 1)])
    assert store._database is not None
    store._database.execute("PRAGMA max_page_count = 3")

    with pytest.raises(InputError, match="full"):
        store.add([(number, number) for number in range(10_000)])
    store.close()


def test_run_that_is_claimed_keeps_what_was_claimed_before() -> None:
    seen = SeenIds(MemoryStore())
    seen.claim(["r-3"], [1])

    seen.claim_run("r-", 5, 2)

    assert seen.claim([f"r-{number}" for number in range(3, 8)], list(range(10, 15))) == {0: None, 2: None, 3: None}


def test_run_over_the_edge_of_a_page_is_claimed_whole() -> None:
    seen = SeenIds(MemoryStore())
    edge = 1 << PAGE_BITS
    seen.claim([f"r-{edge}"], [1])

    seen.claim_run("r-", edge - 2, 5)

    taken = seen.claim([f"r-{number}" for number in range(edge - 3, edge + 4)], list(range(10, 17)))
    assert sorted(taken) == [1, 2, 3, 4, 5]


def test_run_without_a_page_is_told_by_the_lines_of_its_rows() -> None:
    seen = SeenIds(MemoryStore())
    for prefix in range(MAX_PREFIXES):
        seen.claim([f"{prefix}-0"], [1])

    seen.claim_run("late-", 4, 3)

    assert seen.claim(["late-3", "late-4", "late-6"], [90, 91, 92]) == {1: 5, 2: 7}


@pytest.mark.parametrize("over", [-2, -1, 0, 1, 2])
def test_a_run_of_ids_over_the_end_of_a_page_is_left_to_the_other_way(over: int) -> None:
    seen, first = SeenIds(MemoryStore()), (1 << PAGE_BITS) - 8
    names = [f"row-{number}" for number in range(first, first + 8 + over)]

    assert seen.claim_new_run(names) is (over <= 0)
    claimed = seen.claim(names, range(len(names)))
    assert claimed == ({} if over > 0 else dict.fromkeys(range(len(names))))
    assert seen.claim([f"row-{1 << PAGE_BITS}"], [99]) == ({0: None} if over > 0 else {})

"""The catalog of a server: what is noted survives, lists lose nothing, and one request makes one batch."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pipeline.core.batches.asked import Paging
from pipeline.core.batches.records import Batch, Status, StoredFile
from pipeline.edges.store.catalog import REPEAT_SECONDS, Catalog, OtherRequestError, UnknownCursorError
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(tmp_path / "c.db")
    yield made
    made.close()


def file(name: str, *, expires_at: int | None = None, purpose: str = "batch") -> StoredFile:
    return StoredFile(name, 7, 100, f"{name}.jsonl", purpose, expires_at)


def batch(name: str) -> Batch:
    return Batch(name, 100, "/v1/embeddings", "file-1", "24h")


def add(
    catalog: Catalog, name: str, *, digest: bytes = b"d", key: str | None = None, marked: bool = False, now: float = 0.0
) -> tuple[str, bool]:
    made, is_new = catalog.add_batch(batch(name), digest, key, now, marked=marked)
    return made.id, is_new


def test_what_was_noted_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = Catalog(tmp_path / "c.db")
    first.add_file(file("file-1"))
    add(first, "batch_1")
    first.remember("k", b"v")
    first.close()

    second = Catalog(tmp_path / "c.db")

    assert second.file("file-1", 0) == file("file-1")
    assert second.unfinished() == [batch("batch_1")]
    assert second.recall("k") == b"v"
    second.close()


def test_pages_of_files_of_the_same_second_lose_none(catalog: Catalog) -> None:
    for number in range(7):
        catalog.add_file(file(f"file-{number}"))

    seen: list[str] = []
    after, more = None, True
    while more:
        page, more = catalog.files(Paging(3, after), None, 0)
        seen += [each.id for each in page]
        after = seen[-1]

    assert seen == [f"file-{number}" for number in reversed(range(7))]
    assert [each.id for each in catalog.files(Paging(2, "file-4", newest_first=False), None, 0)[0]] == ["file-5", "file-6"]


def test_a_page_goes_on_behind_a_file_that_is_gone(catalog: Catalog) -> None:
    for number in range(3):
        catalog.add_file(file(f"file-{number}"))

    assert catalog.drop_file("file-1")
    assert not catalog.drop_file("file-1")

    assert [each.id for each in catalog.files(Paging(9, "file-1"), None, 0)[0]] == ["file-0"]
    with pytest.raises(UnknownCursorError):
        catalog.files(Paging(9, "file-9"), None, 0)


def test_a_file_whose_time_is_over_is_not_there_before_it_is_deleted(catalog: Catalog) -> None:
    catalog.add_file(file("file-1", expires_at=50))

    assert catalog.file("file-1", 49) is not None
    assert catalog.file("file-1", 50) is None
    assert catalog.files(Paging(9, None), None, 50) == ([], False)
    assert (catalog.outlived(49), catalog.outlived(50)) == ([], ["file-1"])


def test_files_are_listed_by_purpose(catalog: Catalog) -> None:
    catalog.add_file(file("file-1"))
    catalog.add_file(file("file-2", purpose="vision"))

    assert [each.id for each in catalog.files(Paging(9, None), "vision", 0)[0]] == ["file-2"]


def test_only_a_marked_repeat_of_the_same_request_gives_the_batch_that_is_there(catalog: Catalog) -> None:
    assert add(catalog, "batch_1") == ("batch_1", True)

    assert add(catalog, "batch_2", marked=True, now=REPEAT_SECONDS - 1) == ("batch_1", False)
    assert add(catalog, "batch_3", marked=True, digest=b"other") == ("batch_3", True)
    assert add(catalog, "batch_4") == ("batch_4", True)
    assert add(catalog, "batch_5", marked=True, now=2 * REPEAT_SECONDS) == ("batch_5", True)


def test_an_idempotency_key_stands_for_one_request(catalog: Catalog) -> None:
    assert add(catalog, "batch_1", key="k") == ("batch_1", True)

    assert add(catalog, "batch_2", key="k", now=1e9) == ("batch_1", False)
    with pytest.raises(OtherRequestError):
        add(catalog, "batch_3", key="k", digest=b"other")
    assert catalog.batch("batch_3") is None


def test_a_change_and_its_files_are_made_together_or_not_at_all(catalog: Catalog) -> None:
    add(catalog, "batch_1")

    def broken(was: Batch) -> Batch:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        catalog.change("batch_1", broken, [file("file-1")])
    assert catalog.file("file-1", 0) is None

    done = catalog.change("batch_1", lambda was: replace(was, status=Status.COMPLETED, output_file_id="file-1"), [file("file-1")])

    assert done == catalog.batch("batch_1")
    assert catalog.file("file-1", 0) is not None
    assert catalog.unfinished() == []
    assert catalog.change("batch_none", lambda was: was) is None


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "c.db") as database:
        database.execute("CREATE TABLE theirs (x)")
    database.close()

    with pytest.raises(JournalError, match="not one of this version"):
        Catalog(tmp_path / "c.db")
    (tmp_path / "d.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(JournalError):
        Catalog(tmp_path / "d.db")

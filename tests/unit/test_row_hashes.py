"""A hash of every row that was read: it says which rows differ, and which were bad."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.edges.store.hashes import HASH_MASK, RowHashes, differs, entry_of
from pipeline.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

digests = st.integers(0, 2**32 - 1)


@given(digest=digests, other=digests, is_bad=st.booleans())
def test_an_entry_differs_from_another_digest_alone(digest: int, other: int, *, is_bad: bool) -> None:
    entry = entry_of(digest, is_bad=is_bad)

    assert not differs(entry, digest)
    assert differs(entry, other) == (digest & HASH_MASK != other & HASH_MASK)
    assert not differs(0, other)
    assert 0 < entry < 2**32


def test_entries_are_read_back_and_those_that_were_never_noted_are_none(tmp_path: Path) -> None:
    with closing(RowHashes.open(tmp_path / "rows")) as hashes:
        hashes.note(2, [entry_of(7, is_bad=False), entry_of(8, is_bad=True)])

    with closing(RowHashes.open(tmp_path / "rows")) as again:
        assert again.read(0, 6) == (0, 0, entry_of(7, is_bad=False), entry_of(8, is_bad=True), 0, 0)
        assert list(again.read_all()) == [0, 0, entry_of(7, is_bad=False), entry_of(8, is_bad=True)]
        again.close()


@pytest.mark.parametrize(
    "first, count, good",
    [(0, 3, True), (0, 0, True), (1, 2, True), (2, 2, False), (0, 5, False), (4, 1, False), (3, 1, False), (9, 1, False)],
)
def test_rows_are_good_if_each_is_known_and_none_is_bad(tmp_path: Path, first: int, count: int, *, good: bool) -> None:
    with closing(RowHashes.open(tmp_path / "rows")) as hashes:
        hashes.note(0, [entry_of(digest, is_bad=False) for digest in (0, 1, 2**32 - 1)] + [entry_of(3, is_bad=True)])
        hashes.note(5, [entry_of(3, is_bad=False)])

        assert hashes.are_good(first, count) == good


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be opened"):
        RowHashes.open(tmp_path)
    hashes = RowHashes(tmp_path / "rows", os.open(os.devnull, os.O_RDONLY))
    with pytest.raises(JournalError, match="cannot be written"):
        hashes.note(0, [1])
    hashes.close()
    with pytest.raises(JournalError, match="cannot be read"):
        hashes.read(0, 1)


@pytest.mark.parametrize("call", [RowHashes.read_all, RowHashes.close])
def test_a_call_that_the_disk_refuses_is_trouble_with_the_journal(tmp_path: Path, call: Callable[[RowHashes], object]) -> None:
    hashes = RowHashes.open(tmp_path / "rows")
    os.close(hashes._descriptor)

    with pytest.raises(JournalError, match="Bad file descriptor"):
        call(hashes)

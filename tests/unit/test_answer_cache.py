"""The file of kept answers: age, other programs' files, a disk that refuses, two runs at once."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pipeline.edges.store.cache import AnswerCache
from pipeline.errors import CacheError

if TYPE_CHECKING:
    from pathlib import Path


def test_an_answer_is_found_again_by_another_run(tmp_path: Path) -> None:
    with closing(AnswerCache(tmp_path / "new" / "cache")) as cache:
        cache.put([(b"k", b"answer")], 1.0)
        with closing(AnswerCache(tmp_path / "new" / "cache")) as other:
            other.put([(b"j", b"second")], 1.0)

            assert other.get([b"k", b"?", b"j"], 1.0) == [b"answer", None, b"second"]
        assert cache.get([b"j"], 1.0) == [b"second"]


def test_an_answer_that_is_too_old_is_not_there(tmp_path: Path) -> None:
    with closing(AnswerCache(tmp_path / "cache", max_age_seconds=10)) as cache:
        cache.put([(b"k", b"old")], 100.0)

        assert cache.get([b"k"], 110.0) == [b"old"]
        assert cache.get([b"k"], 110.5) == [None]

        cache.put([(b"k", b"new")], 111.0)
        assert cache.get([b"k"], 112.0) == [b"new"]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    AnswerCache(tmp_path / "cache").close()

    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["text", "table", "folder"])
def test_another_programs_file_is_refused_and_left_as_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cache"
    if kind == "text":
        path.write_text("some notes of mine, long enough to be no header of a database\n" * 20)
    elif kind == "table":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE mine (x)")
    else:
        path.mkdir()
    before = None if kind == "folder" else path.read_bytes()[100:]

    with pytest.raises(CacheError, match="cannot use the cache of answers") as caught:
        AnswerCache(path)

    assert str(path) in str(caught.value)
    assert before is None or path.read_bytes()[100:] == before


def test_several_answers_are_kept_or_none(tmp_path: Path) -> None:
    with closing(AnswerCache(tmp_path / "cache")) as cache:
        with pytest.raises(CacheError):
            cache.put([(b"a", b"1"), (b"b", None)], 1.0)  # type: ignore[list-item]  # what the table refuses

        assert cache.get([b"a"], 1.0) == [None]

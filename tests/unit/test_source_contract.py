"""What every `Source` promises: its rows in order, in groups, and from a place that a row named."""

from __future__ import annotations

import gzip
from itertools import islice
from typing import TYPE_CHECKING, cast

import pytest
from attrs import define, field

from pipeline.core.rows.lines import RawRow
from pipeline.edges.sources.file import FileSource
from pipeline.edges.sources.memory import RowsFromPython

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.ports import OpenSource, Source

TEXTS = [f"text {number}" for number in range(1000)]


@define
class FakeSource:
    """The smallest source there can be: rows from a list, which count as they please."""

    name: str = "fake"
    can_be_reopened: bool = True
    size: int | None = None
    bytes_read: int = 0
    length: int | None = len(TEXTS)
    _rows: Iterator[RawRow] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = (RawRow(0, 7 * at, {"prompt": text}) for at, text in enumerate(TEXTS))

    def take(self, most: int) -> list[RawRow]:
        return list(islice(self._rows, most))

    def text_before(self, line: int, offset: int) -> None:
        del line, offset

    def close(self) -> None:
        pass


def file_of(folder: Path, name: str, data: bytes) -> OpenSource:
    path = folder / name
    path.write_bytes(data)
    return lambda: FileSource.open(path)


SOURCES: dict[str, Callable[[Path], OpenSource]] = {
    "fake": lambda _: FakeSource,
    "memory": lambda _: lambda: RowsFromPython(iter(TEXTS), len(TEXTS)),
    "text": lambda folder: file_of(folder, "in.txt", "\n".join(TEXTS).encode()),
    "lines": lambda folder: file_of(folder, "in.jsonl", b"".join(b'{"prompt":"%s"}\n' % text.encode() for text in TEXTS)),
    "packed": lambda folder: file_of(folder, "in.csv.gz", gzip.compress("\n".join(["prompt", *TEXTS]).encode())),
    "document": lambda folder: file_of(folder, "in.json", b"[%s]" % b",".join(b'{"prompt":"%s"}' % text.encode() for text in TEXTS)),
}


@pytest.fixture(params=SOURCES)
def open_source(request: pytest.FixtureRequest, tmp_path: Path) -> OpenSource:
    return SOURCES[request.param](tmp_path)


def taken(source: Source, most: int) -> Iterator[list[RawRow]]:
    while rows := source.take(most):
        yield rows


def text_of(row: RawRow) -> str:
    return str(row.data["prompt"]) if not isinstance(row.data, bytes) and row.data else cast("bytes", row.data).decode().split('"')[3]


@pytest.mark.parametrize("most", [1, 7, 5000])
def test_rows_come_in_order_in_groups_of_at_most_so_many_and_then_none(open_source: OpenSource, most: int) -> None:
    source = open_source()

    groups = list(taken(source, most))

    assert [text_of(row) for rows in groups for row in rows] == TEXTS
    assert max(map(len, groups)) <= most
    assert source.take(most) == []
    source.close()
    source.close()


def test_a_source_says_what_it_knows_of_its_length(open_source: OpenSource) -> None:
    source = open_source()
    assert source.name
    assert source.length in (None, len(TEXTS))
    read = [source.bytes_read]

    read.extend(source.bytes_read for _ in taken(source, 100))
    read.append(source.bytes_read)
    source.close()

    assert read == sorted(read)
    assert read[-1] == (source.size or 0)


def test_a_source_that_can_be_reopened_gives_the_same_rows(open_source: OpenSource) -> None:
    source = open_source()
    first = [text_of(row) for row in source.take(10)]
    source.close()

    if source.can_be_reopened:
        again = open_source()
        assert [text_of(row) for row in again.take(10)] == first
        again.close()


@pytest.mark.parametrize("passed", [1, 500, len(TEXTS) - 1])
def test_the_rows_before_a_place_are_passed_as_text_or_not_at_all(open_source: OpenSource, passed: int) -> None:
    source = open_source()
    rows = [row for group in taken(source, 100) for row in group]
    source.close()
    there = rows[passed]

    going_on = open_source()
    text = going_on.text_before(there.line, there.offset)
    left = passed if text is not None else 0
    if text is not None:
        assert b"".join(text).count(b"\n") == passed
    rest = [row for group in taken(going_on, 100) for row in group]
    going_on.close()

    assert [(text_of(row), row.line, row.offset) for row in rest] == [(text_of(row), row.line, row.offset) for row in rows[left:]]

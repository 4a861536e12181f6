"""What every `Source` promises: its rows in order, in groups, and from a place that a row named."""

from __future__ import annotations

import gzip
from itertools import islice
from typing import TYPE_CHECKING, cast

import pytest
from attrs import define, field

import pipeline
from pipeline.core.rows.lines import RawRow
from pipeline.edges.sources.file import FileSource
from pipeline.edges.sources.memory import RowsFromPython

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.ports import OpenSource

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


class TestSources(pipeline.SourceContract):
    """Those of headrace, and the smallest one there can be."""

    count = len(TEXTS)

    @pytest.fixture(params=SOURCES)
    def open_source(self, request: pytest.FixtureRequest, tmp_path: Path) -> OpenSource:
        return SOURCES[request.param](tmp_path)

    def test_rows_come_in_the_order_of_the_input(self, open_source: OpenSource) -> None:
        source = open_source()

        rows = [row for group in iter(lambda: source.take(7), []) for row in group]
        source.close()

        assert [text_of(row) for row in rows] == TEXTS


def text_of(row: RawRow) -> str:
    return str(row.data["prompt"]) if not isinstance(row.data, bytes) and row.data else cast("bytes", row.data).decode().split('"')[3]

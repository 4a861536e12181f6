"""However the bytes come, the rows are the same; every line that is not blank is one row; no bytes break the reading."""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from pipeline.core.rows import lines
from pipeline.core.rows.lines import HeaderError, JsonLines, RowCutter, TextLines
from pipeline.core.rows.tables import TableRows
from tests.strategies import chunked

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.core.rows.lines import RawRow

LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
CUTTERS: list[Callable[..., RowCutter]] = [JsonLines, TextLines, partial(TableRows, ","), partial(TableRows, "\t")]

pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"a", b",", b'"', b'""', b" ", b"\t", b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b", b"\xff", b"\0"]
)
streams = st.lists(pieces, max_size=30).map(b"".join)
tables = streams.map(b"x,y\n".__add__)


def cut(cutter: RowCutter, chunks: list[bytes]) -> list[RawRow]:
    rows = [row for chunk in chunks for row in cutter.feed(chunk)]
    return rows + list(cutter.finish())


def told(rows: list[RawRow]) -> list[tuple[object, ...]]:
    return [(row.line, row.offset, row.data, row.problem) for row in rows]


@pytest.mark.parametrize("make", CUTTERS)
@given(data=st.data(), stream=tables, most=st.sampled_from([8, 1000]))
def test_rows_do_not_depend_on_the_chunks(make: Callable[..., RowCutter], data: st.DataObject, stream: bytes, most: int) -> None:
    chunks = data.draw(chunked(stream))

    try:
        whole = told(cut(make(max_line_bytes=most), [stream]))
    except HeaderError:
        with pytest.raises(HeaderError):
            cut(make(max_line_bytes=most), chunks)
        return

    assert told(cut(make(max_line_bytes=most), chunks)) == whole


@given(stream=streams, most=st.sampled_from([3, 1000]))
def test_every_line_that_is_not_blank_is_one_row_in_its_place(stream: bytes, most: int) -> None:
    expected: list[tuple[int, int, bytes | None]] = []
    for number, match in enumerate(LINE.finditer(stream), 1):
        text = match[0].rstrip(b"\r\n")
        if len(text) > most:
            expected.append((number, match.start(), None))
        elif text.strip():
            expected.append((number, match.start(), text))

    rows = cut(JsonLines(max_line_bytes=most), [stream])

    assert [(row.line, row.offset, row.data) for row in rows] == expected


@given(stream=streams)
def test_a_row_is_given_as_soon_as_its_line_has_ended(stream: bytes) -> None:
    cutter = JsonLines()

    given_out = list(cutter.feed(stream + b"x\n"))

    assert given_out[-1].data is not None
    assert told(list(cutter.finish())) == []


@given(
    rows=st.lists(st.lists(st.text(st.sampled_from('a,"\n\r \x00é'), max_size=5), min_size=2, max_size=2), max_size=5),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_table_as_written_is_read_back(rows: list[list[str]], end: str) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([["x", "y"], *rows])

    read = cut(TableRows(",", max_line_bytes=10_000), [out.getvalue().encode()])

    assert [row.data for row in read] == [{"x": x, "y": y} for x, y in rows]


@given(lines=st.lists(st.text(st.sampled_from('a,"b'), min_size=1, max_size=8), min_size=1, max_size=6))
def test_a_record_ends_where_the_standard_reader_ends_it(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        ends = [reader.line_num for _ in reader]
    except csv.Error:
        reject()  # a quote that is not closed properly; see below
    starts = [1, *(end + 1 for end in ends[:-1])]

    rows = cut(TableRows(",", max_line_bytes=10_000), [("h\n" + text).encode()])

    assert [row.line - 1 for row in rows] == starts


@given(
    before=st.lists(st.text(st.sampled_from("ab ."), min_size=1, max_size=8), max_size=5),
    after=st.lists(st.text(st.sampled_from("ab ."), min_size=1, max_size=8), max_size=12),
    again=st.none() | st.integers(0, 11),
    where=st.sampled_from(["{}", '{}"', '"{}']),
)
def test_a_stray_quote_costs_its_own_row_and_glues_none(before: list[str], after: list[str], again: int | None, where: str) -> None:
    texts = [*before, '"oops', *after]
    if again is not None and again < len(after) and where != '{}"':
        texts[len(before) + 1 + again] = where.format("again")

    rows = cut(
        TableRows(",", max_line_bytes=10_000), [b"n,p\n" + b"".join(b"%d,%s\n" % (at, text.encode()) for at, text in enumerate(texts))]
    )

    assert [row.line - 2 for row in rows] == list(range(len(texts)))
    bad = [at for at, row in enumerate(rows) if row.data is None]
    assert bad == [at for at, text in enumerate(texts) if text.startswith('"')]
    assert all(row.data == {"n": str(at), "p": texts[at]} for at, row in enumerate(rows) if at not in bad)


@pytest.mark.parametrize("make", CUTTERS)
@given(noise=st.binary(max_size=60))
def test_no_bytes_break_the_reading(make: Callable[..., RowCutter], noise: bytes) -> None:
    try:
        rows = cut(make(max_line_bytes=20), [b"a\n" + noise])
    except HeaderError:
        return

    assert all((row.data is None) == (row.problem is not None) for row in rows)


@pytest.mark.parametrize("make", CUTTERS)
@given(data=st.data(), stream=tables, most=st.sampled_from([8, 1000]))
def test_long_lines_are_cut_as_short_ones(make: Callable[..., RowCutter], data: st.DataObject, stream: bytes, most: int) -> None:
    chunks = data.draw(chunked(stream))
    try:
        short = told(cut(make(max_line_bytes=most), [stream]))
    except HeaderError:
        reject()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LONG_LINE", 0)
        long = told(cut(make(max_line_bytes=most), chunks))

    assert long == short

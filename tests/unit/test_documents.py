"""Objects of a JSON document come one by one, as their bytes were, wherever the stream is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rows.documents import JsonObjects
from pipeline.core.rows.lines import HeaderError, RawRow
from tests.strategies import json_objects


def cut(text: bytes, size: int) -> list[RawRow]:
    cutter = JsonObjects()
    rows: list[RawRow] = []
    for at in range(0, len(text), size):
        rows += cutter.feed(text[at : at + size])
    return [*rows, *cutter.finish()]


@given(
    objects=st.lists(json_objects, max_size=4),
    indent=st.none() | st.integers(0, 3),
    in_array=st.booleans(),
    escaped=st.booleans(),
    size=st.integers(1, 40),
)
def test_objects_come_out_as_they_stand(
    objects: list[dict[str, object]], indent: int | None, *, in_array: bool, escaped: bool, size: int
) -> None:
    texts = [json.dumps(each, indent=indent, ensure_ascii=escaped).encode("utf-8", "replace") for each in objects]
    text = (b"[\n " + b" ,\n".join(texts) + b"]\n") if in_array else b"\n".join(texts)

    rows = cut(text, size)

    assert [row.data for row in rows] == texts
    assert all(text.startswith(texts[at], row.offset) for at, row in enumerate(rows))
    assert [row.line for row in rows] == [1 + text.count(b"\n", 0, row.offset) for row in rows]


@pytest.mark.parametrize("text", [b'[{"a": 1}, {"b"', b'[{"a": 1}, {"b": "}', b'[{"a": 1}, ', b'{"a": 1}\n{'])
def test_a_document_that_is_cut_off_says_so_in_the_place_of_the_next_row(text: bytes) -> None:
    rows = cut(text, 5)

    assert rows[0].data == b'{"a": 1}'
    assert [row.problem for row in rows[1:]] in ([["is cut off: the file ends within it"], ["is cut off: the file ends within its array"]])


@pytest.mark.parametrize("text", [b"[1, 2]", b'[{"a": 1}] {"b": 2}', b'{"a": 1}, "x"', b"[[{}]]", b"x"])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    with pytest.raises(HeaderError, match="must hold JSON objects, got"):
        cut(text, 3)

"""Finished rows are written as their lines, in their order, wherever the lines are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durability import entries
from pipeline.durability.entries import Entry, texts
from pipeline.edges.store.long_lines import LongLines, Slot

lines = st.lists(st.tuples(st.binary(min_size=1, max_size=70), st.booleans()), max_size=8)


@given(lines=lines, groups=st.integers(1, 3))
def test_rows_are_written_as_their_lines_whether_in_memory_or_on_disk(lines: list[tuple[bytes, bool]], groups: int) -> None:
    buffer = bytearray()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "WRITE_BYTES", 20)
        long = LongLines(Path(folder, "long"), b"o" * 16)
        rows = [Entry(at, at, (long.put(line, 1, at) or b"") if on_disk else line) for at, (line, on_disk) in enumerate(lines)]

        written = [
            bytes(piece)
            for at in range(groups)
            for text in texts(rows[at::groups], buffer)
            for piece in (text.pieces(memoryview(buffer)) if isinstance(text, Slot) else [text])
        ]
        long.close()

    assert b"".join(written) == b"".join(line for at in range(groups) for line, _ in lines[at::groups])
    assert all(len(text) <= 20 + 70 for text in written)
    assert len(buffer) <= 20

"""What every `Source` must do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Source


class SourceContract:
    """What every `Source` must do.

    `open_source` opens one that has `count` rows, at least three; it may be called several times.
    """

    count = 3

    @pytest.fixture
    def open_source(self) -> Callable[[], Source]:
        """Opens the source that is tested."""
        raise NotImplementedError

    @pytest.mark.parametrize("most", [1, 2, 7, 5000])
    def test_each_row_comes_once_whatever_the_groups(self, open_source: Callable[[], Source], most: int) -> None:
        """`take` gives at most as many rows as it is asked for, at least one, and none at the end."""
        source = open_source()
        groups = list(_groups(source, most))
        source.close()

        assert all(1 <= len(group) <= most for group in groups)
        assert sum(map(len, groups)) == self.count
        assert all(row.problem is not None or row.data is not None for group in groups for row in group)

    def test_after_the_end_there_are_no_more(self, open_source: Callable[[], Source]) -> None:
        """The end is the end, also when it is asked again."""
        source = open_source()
        _rows(source)

        assert source.take(100) == []
        source.close()

    def test_another_opening_gives_the_same_rows_if_it_says_so(self, open_source: Callable[[], Source]) -> None:
        """A resume reads the input again."""
        source = open_source()
        if source.can_be_reopened:
            again = open_source()
            assert [row.data for row in _rows(source)] == [row.data for row in _rows(again)]
            again.close()
        source.close()

    def test_it_says_what_it_knows_of_its_length(self, open_source: Callable[[], Source]) -> None:
        """`length` is that of all rows, `bytes_read` grows up to `size`; None is not known."""
        source = open_source()
        assert source.length in {None, self.count}
        assert source.name
        read = [source.bytes_read]

        read.extend(source.bytes_read for _ in _groups(source, 2))
        read.append(source.bytes_read)

        assert read == sorted(read)
        assert source.size is None or read[-1] == source.size
        source.close()

    @pytest.mark.parametrize("passed", [1, 2])
    def test_the_rows_before_a_place_are_passed_as_text_or_not_at_all(self, open_source: Callable[[], Source], passed: int) -> None:
        """A run that goes on passes the rows that it has done; the next row is the one that stands at that place."""
        source, again = open_source(), open_source()
        if source.can_be_reopened:
            rows = _rows(source)
            there = rows[passed]

            text = again.text_before(there.line, there.offset)
            left = 0 if text is None else passed
            assert text is None or b"".join(text).count(b"\n") == passed
            assert [(row.data, row.line, row.offset) for row in _rows(again)] == [(row.data, row.line, row.offset) for row in rows[left:]]
        source.close()
        again.close()

    def test_closing_it_again_does_no_harm(self, open_source: Callable[[], Source]) -> None:
        """Also before anything was taken."""
        source = open_source()
        source.close()
        source.close()


def _groups(source: Source, most: int) -> Iterator[list[RawRow]]:
    return iter(lambda: source.take(most), [])


def _rows(source: Source) -> list[RawRow]:
    return [row for group in _groups(source, 100) for row in group]

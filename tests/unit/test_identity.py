"""A changed row, or a row in another place, is noticed; how the input was cut into pieces is not."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.bookkeeping.fingerprint import MASK, differences, row_digest, row_term, rows_checksum, text_checksum
from pipeline.core.bookkeeping.sums import crc32
from pipeline.core.rows.lines import JsonLines, RawRow

if TYPE_CHECKING:
    from collections.abc import Sequence

lines = st.binary(min_size=1, max_size=12).map(lambda text: b'{"p": "%s"}' % text.translate(None, b"\r\n"))
few = st.sampled_from([b'{"p": 0}', b'{"p": 1}', b'{"p": 2}'])  # rows that are like each other, as labels are


def sum_of(texts: Sequence[bytes]) -> int:
    return sum(row_term(index, row_digest(RawRow(0, 0, text))) for index, text in enumerate(texts)) & MASK


def rows_of(data: bytes) -> list[RawRow]:
    cutter = JsonLines()
    return [*cutter.feed(data), *cutter.finish()]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 2**32 - 1))), st.randoms())
def test_sum_does_not_depend_on_the_order_in_which_rows_are_done(rows: list[tuple[int, int]], random: object) -> None:
    terms = [row_term(index, digest) for index, digest in rows]
    shuffled = list(terms)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert sum(shuffled) & MASK == sum(terms) & MASK


@settings(max_examples=50)
@given(st.lists(few, min_size=2, max_size=12).flatmap(lambda texts: st.tuples(st.just(texts), st.permutations(texts))))
def test_rows_in_another_order_have_another_sum(orders: tuple[list[bytes], list[bytes]]) -> None:
    was, now = orders

    assert (sum_of(was) == sum_of(now)) == (was == now)


def test_pairs_that_were_swapped_the_other_way_round_do_not_cancel() -> None:
    first, second = b'{"p": 0}', b'{"p": 1}'

    assert sum_of([first, second, second, first]) != sum_of([second, first, first, second])


@settings(max_examples=50)
@given(st.lists(lines, min_size=1, max_size=12), st.integers(0, 11), lines)
def test_an_edited_row_changes_the_sum(texts: list[bytes], at: int, text: bytes) -> None:
    edited = list(texts)
    edited[at % len(texts)] = text

    assert (sum_of(edited) == sum_of(texts)) == (edited == texts)


@settings(max_examples=50)
@given(st.lists(lines, min_size=1, max_size=12), st.integers(0, 11))
def test_a_dropped_or_a_doubled_row_changes_the_sum(texts: list[bytes], at: int) -> None:
    at %= len(texts)

    assert sum_of(texts[:at] + texts[at + 1 :]) != sum_of(texts)
    assert sum_of(texts[: at + 1] + texts[at:]) != sum_of(texts)


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3), st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_a_row_of_fields_is_known_by_what_they_hold(one: dict[str, str], other: dict[str, str]) -> None:
    digests = [row_digest(RawRow(line, 7 * line, fields)) for line, fields in enumerate([one, dict(one), other])]

    assert digests[0] == digests[1]
    assert list(one.items()) == list(other.items()) or digests[0] != digests[2]


def test_a_row_that_cannot_be_read_is_known_by_its_problem() -> None:
    problems = [row_digest(RawRow(1, 0, None, problem)) for problem in ("is not UTF-8", "is too long", "is not UTF-8")]

    assert problems[0] == problems[2] != problems[1]


@settings(max_examples=50)
@given(st.lists(lines, max_size=12), st.sampled_from([b"\n", b"\r\n"]), st.integers(0, 12), st.integers(0, 12), st.sampled_from([1, 3000]))
def test_checksum_over_rows_is_that_over_their_text_however_both_are_cut(
    texts: list[bytes], end: bytes, cut: int, other: int, times: int
) -> None:
    texts = [text * times for text in texts]  # long rows are summed another way
    rows = rows_of(b"".join(text + end for text in texts))
    digests = [row_digest(row) for row in rows]
    pieces = [b"".join(text + end for text in part) for part in (texts[:cut], texts[cut:])]

    over_text = text_checksum(pieces[1], text_checksum(pieces[0]))
    over_rows = 0
    for part in (slice(0, other), slice(other, None)):
        if rows[part]:
            over_rows = rows_checksum(rows[part], digests[part], over_rows)

    assert over_rows == over_text


@settings(max_examples=50)
@given(st.lists(few, min_size=2, max_size=12).flatmap(lambda texts: st.tuples(st.just(texts), st.permutations(texts))))
def test_checksum_over_rows_knows_their_order(orders: tuple[list[bytes], list[bytes]]) -> None:
    was, now = (rows_checksum([RawRow(0, 0, text) for text in texts], [0] * len(texts)) for texts in orders)

    assert (was == now) == (orders[0] == orders[1])


def test_differences_name_what_differs_and_nothing_else() -> None:
    was = {"b": "x", "a": "same", "long": "y" * 500}
    now = {"a": "same", "c": "z", "b": "y"}

    assert differences(was, was) == []
    assert differences(was, now) == ["b: was x, is y", "c: was not set, is z", f"long: was {'y' * 100}… (500 characters), is not set"]


def test_row_that_is_no_text_stands_in_the_checksum_by_its_digest() -> None:
    rows = [RawRow(1, 0, b'{"p": 0}'), RawRow(2, 9, {"p": 1}), RawRow(3, 18, None, "line 3: broken")]

    assert rows_checksum(rows, [1, 2, 3]) == text_checksum(b'{"p": 0}\n2\n3\n')
    assert rows_checksum(rows, [1, 2, 3], 7) == text_checksum(b'{"p": 0}\n2\n3\n', 7)


@given(st.binary(max_size=5000), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_zlib_so_that_a_journal_can_move_between_machines(data: bytes, so_far: int) -> None:
    assert crc32(data, so_far) == zlib.crc32(data, so_far)


def test_long_value_is_shown_by_its_start() -> None:
    fits, too_long = "x" * 120, "y" * 121

    assert differences({"key": fits}, {"key": too_long}) == [f"key: was {fits}, is {'y' * 100}… (121 characters)"]


def test_what_a_journal_keeps_of_rows_stays_as_earlier_versions_wrote_it() -> None:
    assert row_digest(RawRow(1, 0, b'{"p": 1}')) == crc32(b'{"p": 1}') == 858_480_553
    assert row_digest(RawRow(1, 0, {"p": "ü"})) == crc32('{"p":"ü"}'.encode())
    assert row_digest(RawRow(1, 0, None, problem="is empty")) == crc32(b'"is empty"')
    assert row_term(0, 0) & MASK == 11_400_714_820_970_677_676
    assert row_term(7, 123_456) & MASK == 18_025_531_035_376_675_875
    assert row_term(0, 5) == 6 * row_term(0, 0)

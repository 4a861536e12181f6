"""What is remembered of an input: a place to read on from that is right, in memory that a slow first row does not fill."""

from __future__ import annotations

from pipeline.core.bookkeeping.fingerprint import MASK, Prefix, row_digest, row_term, rows_checksum
from pipeline.core.rows.lines import RawRow
from pipeline.durability.seen_input import MAX_PREFIXES, SeenInput

SLICE = 3
SLICES = 5 * MAX_PREFIXES


def rows_of(first: int, count: int) -> list[RawRow]:
    return [RawRow(index + 1, 10 * index, b'{"row":%d}' % index) for index in range(first, first + count)]


def prefix_of(count: int) -> Prefix:
    """The first rows of that input, as they are recognised."""
    rows = rows_of(0, count)
    digests = [row_digest(row) for row in rows]
    terms = sum(row_term(index, digest) for index, digest in enumerate(digests))
    return Prefix(count, count + 1, 10 * count, rows_checksum(rows, digests), terms & MASK)


def seen(slices: int) -> SeenInput:
    made = SeenInput(Prefix())
    for first in range(0, slices * SLICE, SLICE):
        made.note(rows_of(first, SLICE), first)
    return made


def test_the_place_to_read_on_from_is_the_last_slice_before_which_all_is_done() -> None:
    made = seen(20)

    assert made.done_up_to(0) == Prefix()
    assert made.done_up_to(SLICE - 1) == Prefix()
    assert made.done_up_to(7 * SLICE + 1) == prefix_of(7 * SLICE)
    assert made.done_up_to(7 * SLICE + 2) == prefix_of(7 * SLICE)
    assert made.done_up_to(1000) == prefix_of(19 * SLICE)


def test_behind_a_slow_row_places_are_thinned_and_those_that_stay_are_right() -> None:
    made = seen(SLICES)

    assert len(made) <= MAX_PREFIXES
    for share in (0.2, 0.5, 0.9, 1.0):
        done = int(SLICES * SLICE * share)
        place = made.done_up_to(done)
        assert place == prefix_of(place.rows)
        assert place.rows > done // 2
    assert made.done_up_to(SLICES * SLICE).rows == (SLICES - 1) * SLICE  # the newest are all there


def test_an_input_that_is_forgotten_is_read_from_its_first_row() -> None:
    made = seen(5)
    made.done_up_to(1000)

    assert made.forget() == Prefix()
    for first in (0, SLICE):
        made.note(rows_of(first, SLICE), first)

    assert made.done_up_to(1000) == prefix_of(SLICE)

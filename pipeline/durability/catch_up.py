"""Takes a source behind the rows that are done, and checks that they are still the rows that were answered."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.core.bookkeeping.fingerprint import MASK, Prefix, row_digest, row_term, text_checksum
from pipeline.edges.sources.file import RowSource
from pipeline.errors import RunChangedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.rows.jobs import JobMaker
    from pipeline.durability.output import DurableOutput
    from pipeline.durability.reuse import CountedJobs

SKIP_ROWS = 4096  # taken at once from the part of the input that is done


def pass_over(path: str, source: RowSource, jobs: JobMaker | CountedJobs, durable: DurableOutput, *, accept_changes: bool) -> None:
    """Take the source behind all rows that need no look any more; hold those that are done against what was answered. Blocks.

    Raises InputError; RunChangedError when they are not the rows that were answered.
    """
    prefix = durable.state.prefix
    if not accept_changes and prefix.offset and source.is_lines and _begins_with(path, prefix):
        index = 0
        for text in _whole_lines(source.skip(prefix.offset, prefix.line)):
            index += jobs.claim_lines(text, index)
    else:
        prefix = durable.forget_input()
    row_sum, index = prefix.row_sum, prefix.rows
    while index < durable.first_index:
        rows = source.take(min(SKIP_ROWS, durable.first_index - index))
        if not rows:
            break
        jobs.claim(rows, index)
        row_sum += sum(durable.note_rows(rows, index))
        index += len(rows)
    short = index < durable.first_index
    ahead = durable.done_end > durable.first_index
    if ahead and not short:
        if not source.is_file:
            return  # stdin cannot be looked into ahead of its turn
        more, short = _sum_ahead(path, durable, prefix if source.is_lines else Prefix())
        row_sum += more
    if accept_changes:
        durable.know_rows(row_sum & MASK)
    elif short:
        raise RunChangedError(f"{path} has fewer rows than were answered already")
    elif row_sum & MASK != durable.state.row_sum:
        raise RunChangedError(f"{path} has changed: its rows are not the {durable.state.recorded:,} that were answered")


def _begins_with(path: str, prefix: Prefix) -> bool:
    """Whether the input's text begins with these rows. Says no too often: then its rows are looked at one by one."""
    checksum = 0
    with closing(RowSource.open(path)) as source:
        for text in _whole_lines(source.skip(prefix.offset, prefix.line)):
            checksum = text_checksum(text, checksum)
    return checksum == prefix.checksum


def _whole_lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
    if rest:
        yield rest


def _sum_ahead(path: str, durable: DurableOutput, prefix: Prefix) -> tuple[int, bool]:
    """The sum over the rows that are done behind one that is not, and whether the input ends before them."""
    first, last, done = durable.first_index, durable.done_end, durable.done
    total = 0
    index = prefix.rows
    with closing(RowSource.open(path)) as source:
        if prefix.offset:
            for _ in source.skip(prefix.offset, prefix.line):
                pass
        while index < last:
            rows = source.take(SKIP_ROWS)
            if not rows:
                return total, True
            total += sum(row_term(at, row_digest(row)) for at, row in enumerate(rows, index) if at >= first and at in done)
            index += len(rows)
    return total, False

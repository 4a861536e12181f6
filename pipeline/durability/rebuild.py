"""Makes an output and a journal anew from those that are there: without failures that may have passed, or from edited or damaged ones.

Nothing is deleted: the old output gets another name. All is prepared beside it, made true by one commit of the journal, and then
renamed; a process that dies in between leaves either the old run or the new one, and both can go on.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from heapq import merge
from itertools import chain
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.bookkeeping.fingerprint import MASK, row_digest, row_term
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.core.output.lines import read_line
from pipeline.durability.catch_up import SKIP_ROWS
from pipeline.durability.paths import move_journal_aside
from pipeline.durability.resume import WRITE_ROWS, finish_renaming, open_journal
from pipeline.edges.sources.file import STDIN, RowSource
from pipeline.edges.store.journal import Journal, State, salvage
from pipeline.edges.store.marks import SentMarks
from pipeline.edges.store.output import FileSink, free_name
from pipeline.errors import InputError, RunChangedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pipeline.core.output.lines import Written
    from pipeline.durability.paths import Paths
    from pipeline.durability.resume import Kind


def renew_journal(paths: Paths, identity: Mapping[str, str]) -> None:
    """Begin a journal anew with what is whole in the one that is there, if any; that one gets another name. Blocks.

    Raises UsageError while another run is at it; JournalError.
    """
    new = paths.journal.with_name(paths.journal.name + ".renewed")
    with closing(SentMarks.open(paths.marks)) as marks:
        new.unlink(missing_ok=True)
        with closing(Journal.open(new, identity)) as journal:
            journal.commit(salvage(paths.journal), State())
        move_journal_aside(paths)
        new.rename(paths.journal)
        marks.forget()


@define(eq=False)
class _Rebuilding:
    """What is kept, counted as it passes. was: rows that had an outcome; done: those that keep it."""

    in_order: bool
    keep_failures: bool
    was: Intervals = field(factory=Intervals)
    done: Intervals = field(factory=Intervals)
    written: int = 0
    ledger: Ledger = field(factory=Ledger)

    def take(self, told: Written) -> bool:
        """Count a row; whether its line is kept."""
        self.was.add(told.index, told.index + 1)
        if told.transient and not self.keep_failures:
            return False
        self.done.add(told.index, told.index + 1)
        self.ledger.count(told.usage, succeeded=told.succeeded)
        return True


class _NothingToDoError(Exception):
    """Every row is kept where it is."""


def rebuild(paths: Paths, kind: Kind, source: str, identity: Mapping[str, str], *, keep_failures: bool, accept_changes: bool) -> int:
    """Begin the run's output anew with the lines that are there, and forget the others; how many rows are forgotten. Blocks.

    keep_failures: else rows that failed for a reason that may have passed are forgotten. accept_changes: take the output
    and the input as they are, although they are not what the journal knows.

    Raises as `open_durable`; RunChangedError for another input; SinkError, JournalError.
    """
    if source in STDIN:
        raise InputError("the input was stdin, which cannot be read again; put it into a file to send some of its rows again")
    with ExitStack() as opened:
        _, journal = open_journal(opened, paths, identity, power=kind.power)
        work = _Rebuilding(kind.in_order, keep_failures)
        paths.rebuilt.unlink(missing_ok=True)
        sink = opened.enter_context(closing(FileSink.open(paths.rebuilt)))

        def state() -> State:
            if not keep_failures and len(work.was) == len(work.done):
                raise _NothingToDoError
            sink.sync()
            row_sum = _row_sum(source, work, None if accept_changes else journal.state.row_sum)
            return _state_of(work, sink, row_sum, free_name(paths.output).name, journal.state.unknown)

        try:
            journal.replace(_kept(work, paths.output, journal, sink), state)
        except _NothingToDoError:
            paths.rebuilt.unlink()
        finish_renaming(journal, paths)
        return len(work.was) - len(work.done)


def _kept(work: _Rebuilding, output: Path, journal: Journal, sink: FileSink) -> Iterator[tuple[int, bytes]]:
    """Write what may go to the output at once; gives the rest, with its places."""
    ready: list[bytes] = []
    for told, line in _all_lines(work.in_order, output, journal):
        if told.index in work.was:
            continue  # the output has what the journal holds, or a line was doubled by hand
        if not work.take(told):
            continue
        if work.in_order and told.index != work.written:
            yield told.index, line
            continue
        work.written += 1
        ready.append(line)
        if len(ready) >= WRITE_ROWS:
            sink.write(b"".join(ready))
            ready.clear()
    sink.write(b"".join(ready))


def _all_lines(in_order: bool, output: Path, journal: Journal) -> Iterator[tuple[Written, bytes]]:  # noqa: FBT001
    """The lines that a run has written, and those that wait. What is none stays in the old output; its row is sent again."""
    written = _understood(_lines_of(output))
    held = _understood(line for _, line in journal.lines(0))
    return merge(written, held, key=lambda item: item[0].index) if in_order else chain(written, held)


def _lines_of(output: Path) -> Iterator[bytes]:
    try:
        file = output.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield from file


def _understood(lines: Iterable[bytes]) -> Iterator[tuple[Written, bytes]]:
    for line in lines:
        told = read_line(line) if line.endswith(b"\n") else None
        if told is not None:
            yield told, line


def _row_sum(source: str, work: _Rebuilding, expected: int | None) -> int:
    """The sum over the rows that are kept. Raises RunChangedError if the rows that had an outcome are not those expected."""
    end = max((end for _, end in work.was), default=0)
    index = was = done = 0
    with closing(RowSource.open(source)) as rows:
        while index < end and (taken := rows.take(SKIP_ROWS)):
            for at, row in enumerate(taken, index):
                if at in work.was:
                    term = row_term(at, row_digest(row))
                    was += term
                    if at in work.done:
                        done += term
            index += len(taken)
    if expected is not None and was & MASK != expected:
        raise RunChangedError(f"{source} has changed: its rows are not the {len(work.was):,} that were answered")
    return done & MASK


def _state_of(work: _Rebuilding, sink: FileSink, row_sum: int, aside: str, unknown: int) -> State:
    return State(
        work.written,
        sink.bytes_written,
        work.ledger.succeeded,
        work.ledger.failed,
        work.ledger.prompt_tokens,
        work.ledger.output_tokens,
        row_sum,
        unknown,
        () if work.in_order else tuple(work.done),
        sink.digest,
        aside=aside,
        committed_at=time.time(),
    )

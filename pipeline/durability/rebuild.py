"""Writes a new output and a new journal from the present ones, without the results that are no longer valid.

A line is kept only if its row in the input is still the same as when it was answered. Nothing is deleted: the old output gets
another name. The new files are prepared beside the old ones, take effect by one commit of the journal, and are then renamed. If the
process dies in between, either the old run or the new one is there, and both can continue.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from heapq import merge
from itertools import chain
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from pipeline.core.bookkeeping.fingerprint import MASK, row_term
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.core.output.read_lines import moved_line, read_line
from pipeline.core.output.written import NO_FAILURES, FailureChoice
from pipeline.durability.catch_up import SHOWN, rows_unknown
from pipeline.durability.entries import WRITE_BYTES
from pipeline.durability.made import Made, missing_folders
from pipeline.durability.paths import move_journal_aside
from pipeline.durability.present_rows import PresentRows
from pipeline.durability.resume import done_rows, finish_renaming, open_journal
from pipeline.edges.store.files import free_name
from pipeline.edges.store.hashes import RowHashes
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.journal_reading import salvage
from pipeline.edges.store.journal_schema import State
from pipeline.edges.store.marks import SentMarks
from pipeline.edges.store.output import FileSink, OutputLock
from pipeline.errors import InputChangedError, OutputChangedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pipeline.core.output.written import Written
    from pipeline.core.rows.jobs import JobMaker
    from pipeline.durability.paths import Paths
    from pipeline.durability.resume import Kind
    from pipeline.ports import Source


@frozen
class Repair:
    """Which results are dropped. A repair always drops those of rows that were never sent, because they may be good now.

    failures: rows to send again though nothing of them has changed. stale: drop every failure, because other requests are made
    now. accept_changes: answers move with their rows, and answers to rows that are gone are dropped; otherwise there must be none of
    either. whole: write a new output even if every line is kept.
    """

    failures: FailureChoice = NO_FAILURES
    stale: bool = False
    accept_changes: bool = False
    whole: bool = False


def renew_journal(paths: Paths, identity: Mapping[str, str]) -> None:
    """Begin a new journal with what is intact in the present one, if any; that one gets another name. Blocks.

    Raises UsageError while another run is at it; JournalError.
    """
    new = paths.journal.with_name(paths.journal.name + ".renewed")
    folders = missing_folders(paths)
    with ExitStack() as opened:
        paths.make_folders()
        marks = opened.enter_context(closing(SentMarks.open(paths.marks)))
        opened.push(Made.since(paths, folders, is_new=marks.is_new).on_refusal)
        opened.enter_context(closing(OutputLock.take(paths.output)))
        new.unlink(missing_ok=True)
        with closing(Journal.open(new, identity)) as journal:
            journal.commit(salvage(paths.journal), State())
        move_journal_aside(paths)
        new.rename(paths.journal)
        marks.forget()


class _NothingToDoError(Exception):
    """Every row is kept where it is."""


def rebuild(paths: Paths, kind: Kind, source: Source, jobs: JobMaker, identity: Mapping[str, str], repair: Repair) -> int:
    """Begin a new output with the lines that are still valid, and drop the others; how many were dropped. Blocks.

    source, jobs: both untouched; they are used up.

    Raises as `open_durable`; InputChangedError if rows that were answered have changed, OutputChangedError for a line that
    cannot be read, unless that is accepted; SinkError, JournalError.
    """
    with ExitStack() as opened:
        _, journal, *_ = open_journal(opened, paths, identity, power=kind.power)
        hashes = opened.enter_context(closing(RowHashes.open(paths.hashes)))
        work = _Rebuilding(kind, repair, PresentRows.read(source, jobs, hashes.read_all()))
        if repair.accept_changes:
            held = journal.places(journal.state.written)
            if not work.rows.are_known(done_rows(journal, held, in_order=kind.in_order), journal.state.row_sum):
                raise rows_unknown(source.name, hashes)
            work.find_kept(_all_lines(kind, paths.output, journal, strict=False))
        paths.rebuilt.unlink(missing_ok=True)
        sink = opened.enter_context(closing(FileSink.create(paths.rebuilt)))

        def state() -> tuple[State, Iterable[tuple[int, int]]]:
            if work.refused:
                raise InputChangedError(f"{source.name} {work.told_refused()}")
            if not repair.whole and len(work.was) == len(work.done) and not work.moved:
                raise _NothingToDoError
            sink.sync()
            return work.state_of(sink, free_name(paths.output).name, journal.state), () if kind.in_order else work.done

        try:
            journal.replace(_kept(work, paths.output, journal, sink), state)
            work.rows.note(hashes)
        except (_NothingToDoError, InputChangedError) as error:
            paths.rebuilt.unlink()
            if isinstance(error, InputChangedError):
                raise
        finish_renaming(journal, paths)
        return len(work.was) - len(work.done)


@define(eq=False)
class _Rebuilding:
    """What is kept, counted as it passes.

    was: rows that had an outcome; done: those that have one now. moved: how many of these stand in another place than before.
    refused: see `told_refused`.
    """

    kind: Kind
    repair: Repair
    rows: PresentRows
    was: Intervals = field(factory=Intervals)
    done: Intervals = field(factory=Intervals)
    moved: int = 0
    refused: list[tuple[int, str]] = field(factory=list)
    written: int = 0
    row_sum: int = 0
    ledger: Ledger = field(factory=Ledger)

    def find_kept(self, lines: Iterable[tuple[Written, bytes]]) -> None:
        """Look which rows keep their results, before others may go to new places."""
        kept = self.rows.kept
        for told, _ in lines:
            if told.index not in kept and self.rows.holds(told) and not self._to_send_again(told):
                kept.add(told.index, told.index + 1)

    def place(self, told: Written) -> int | None:
        """Count a row's result; the row that it is kept for, None if it is dropped."""
        self.was.add(told.index, told.index + 1)
        index: int | None = told.index
        if not self.rows.holds(told):
            index = self.rows.other_place(told) if self.repair.accept_changes else None
            if told.succeeded and not self.repair.accept_changes:
                self.refused.append((told.index, told.custom_id))
        if index is None or index in self.done or self._to_send_again(told):
            return None
        self.moved += index != told.index
        self.done.add(index, index + 1)
        self.row_sum += row_term(index, self.rows.digests[index])
        self.ledger.count([told.counted])
        return index

    def _to_send_again(self, told: Written) -> bool:
        if self.repair.stale:
            return not told.succeeded
        return not told.is_invalid and (told.never_sent or self.repair.failures.takes(told))

    def told_refused(self) -> str:
        """Which rows were answered and are not what they were."""
        known = len(self.rows.digests)
        self.refused.sort()
        shown = self.refused[:SHOWN]
        told = ", ".join(f"row {at} ({', '.join(filter(None, (self.rows.place(at), repr(name))))})" for at, name in shown)
        more = f" and {len(self.refused) - len(shown):,} more" if len(self.refused) > len(shown) else ""
        if self.refused[-1][0] >= known:
            return f"has fewer rows than were answered already: not what was answered, or gone: {told}{more}"
        return f"has changed: not what was answered: {told}{more}"

    def state_of(self, sink: FileSink, aside: str, was: State) -> State:
        """The state of a run that has these results. was: its state before."""
        return State(
            written=self.written,
            bytes=sink.bytes_written,
            succeeded=self.ledger.succeeded,
            failed=self.ledger.failed,
            prompt_tokens=self.ledger.prompt_tokens,
            output_tokens=self.ledger.output_tokens,
            finish_reasons=dict(self.ledger.finish_reasons),
            rejected=was.rejected,
            priced=was.priced,
            row_sum=self.row_sum & MASK,
            unknown=was.unknown,
            digest=sink.digest,
            aside=aside,
            committed_at=time.time(),
        )


def _kept(work: _Rebuilding, output: Path, journal: Journal, sink: FileSink) -> Iterator[tuple[int, bytes]]:
    """Write what may go to the output at once; gives the rest, with its places."""
    ready: list[bytes] = []
    size = 0
    for told, written_line in _all_lines(work.kind, output, journal, strict=not work.repair.accept_changes):
        if told.index in work.was:
            continue  # the output has what the journal holds, or a line was doubled by hand
        index = work.place(told)
        if index is None:
            continue
        line = written_line if index == told.index else moved_line(written_line, work.kind.base + index, work.rows.name_at(index, told))
        if work.kind.in_order and index != work.written:
            yield index, line
            continue
        work.written += 1
        ready.append(line)
        size += len(line)
        if size >= WRITE_BYTES:
            sink.write(b"".join(ready))
            ready.clear()
            size = 0
    sink.write(b"".join(ready))


def _all_lines(kind: Kind, output: Path, journal: Journal, *, strict: bool) -> Iterator[tuple[Written, bytes]]:
    """The lines that a run has written, and those that wait.

    strict: a line that cannot be read is an error. Else it stays in the old output, and its row is sent again.
    """
    written = _understood(_lines_of(output), output if strict else None, kind.base)
    held = _understood((line for _, line in journal.lines(0)), None, kind.base)
    return merge(written, held, key=lambda item: item[0].index) if kind.in_order else chain(written, held)


def _lines_of(output: Path) -> Iterator[bytes]:
    try:
        file = output.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield from file


def _understood(lines: Iterable[bytes], strict: Path | None, base: int = 0) -> Iterator[tuple[Written, bytes]]:
    """The lines that are results. strict: the file in which every whole line must be one."""
    for number, line in enumerate(lines, 1):
        told = read_line(line, base) if line.endswith(b"\n") else None
        if told is not None and told.index >= 0:
            yield told, line
        elif strict is not None and line.endswith(b"\n"):
            raise OutputChangedError(
                f"{strict}, line {number}: this is not a line of results. --accept-changes goes on without it and sends its row again"
            )

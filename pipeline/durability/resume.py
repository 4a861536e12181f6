"""How a run goes on from what an earlier one left: what must be the same, what is cut back, and what is passed over.

The output counts as far as the last commit says, by its digest, and behind that as far as the journal holds the same
lines. Whatever else stands there is somebody else's, and is refused and not overwritten.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, evolve

from pipeline.core.bookkeeping.fingerprint import MASK, Prefix, differences, row_digest, row_term, text_checksum
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.core.output.lines import read_line
from pipeline.durability.output import DurableOutput
from pipeline.edges.sources.file import RowSource
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.marks import SentMarks
from pipeline.edges.store.output import FileSink, free_name
from pipeline.edges.store.spool import Spool
from pipeline.errors import JournalDamagedError, OutputChangedError, OutputExistsError, RunChangedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.core.rows.jobs import JobMaker
    from pipeline.edges.store.journal import State
    from pipeline.records import Outcome

SKIP_ROWS = 4096  # taken at once from the part of the input that is done
JOURNAL_PARTS = ("", "-wal", "-shm", ".spool")  # SQLite finds its log by the name, and we our spool


@define(eq=False)
class Paths:
    """The files of one run. marks lie beside the journal; rebuilt is an output in the making (see `rebuild`)."""

    output: Path
    journal: Path

    @classmethod
    def of(cls, output: str, journal: str | None) -> Paths:
        """The files of a run whose config names these; a journal that it does not name lies beside the output."""
        return cls(Path(output), Path(f"{output}.journal" if journal is None else journal))

    @property
    def marks(self) -> Path:
        """Where sent rows are marked; also the run's lock."""
        return self.journal.with_name(self.journal.name + ".sent")

    @property
    def spool(self) -> Path:
        """Where outcomes are until the journal or the output has them."""
        return self.journal.with_name(self.journal.name + ".spool")

    @property
    def rebuilt(self) -> Path:
        """An output that is to take the place of the present one."""
        return self.output.with_name(self.output.name + ".rebuilt")


@define(eq=False)
class Kind:
    """How a run writes. encode: an outcome as a line. power: what is written survives the machine too."""

    encode: Callable[[Outcome], bytes]
    in_order: bool
    power: bool


# ---- the output --------------------------------------------------------------------------------------------------


def open_durable(
    paths: Paths,
    kind: Kind,
    identity: Mapping[str, str],
    *,
    fresh: bool = False,
    accept_changes: bool = False,
) -> DurableOutput:
    """Begin a run's output, or go on with it where it was left. Blocks.

    identity: what must be the same for the answers to belong together. fresh: move all that is there aside first.
    accept_changes: go on although the identity is another.

    Raises UsageError while another run is at it; OutputExistsError for an output without a journal; RunChangedError for
    another identity; OutputChangedError for an output that the run has not written; JournalError for a journal that
    cannot be read.
    """
    with ExitStack() as opened:
        marks, journal = open_journal(opened, paths, identity, power=kind.power, fresh=fresh)
        _compare(journal, identity, accept_changes=accept_changes)
        held = journal.places(journal.state.written)
        _see_that_it_is_whole(journal, held, every_line=accept_changes)
        spool = Spool(paths.spool, bytes.fromhex(journal.name))
        _take_spool(spool, journal, held, in_order=kind.in_order)
        state = journal.state
        sink = opened.enter_context(closing(FileSink.resume(paths.output, state.bytes, create=not state.written)))
        if state.digest and sink.digest != state.digest:
            raise OutputChangedError(f"{paths.output} was edited: its first {state.bytes:,} bytes are not those that were written")
        done = _done(state, held, in_order=kind.in_order)
        durable = DurableOutput(sink, journal, spool, marks, kind.encode, kind.in_order, kind.power, held, done, state)
        _take_tail(durable)
        if not kind.in_order:
            _write_held(durable)
        durable.settle(unknown=marks.unknown(done))
        marks.forget()
        opened.pop_all()
        return durable


def open_journal(
    opened: ExitStack, paths: Paths, identity: Mapping[str, str], *, power: bool, fresh: bool = False
) -> tuple[SentMarks, Journal]:
    """Lock a run's files and open its journal; what an earlier process had begun to rename is renamed. Closed with `opened`.

    Raises as `open_durable`.
    """
    _see_that_it_can_be(paths, fresh=fresh)
    marks = SentMarks.open(paths.marks)
    opened.callback(marks.close)
    if fresh:
        _move_all_aside(paths)
        marks.forget()
    journal = opened.enter_context(closing(Journal.open(paths.journal, identity, power=power)))
    finish_renaming(journal, paths)
    return marks, journal


def _see_that_it_can_be(paths: Paths, *, fresh: bool) -> None:
    """Refuse what can be no output, before anything is made."""
    for path, what in ((paths.output, "output"), (paths.journal, "journal")):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise UsageError(f"{path} is no file, so no run can go on in it; name a file, and read it as it grows (tail -f)")
        except OSError as error:
            raise UsageError(f"{path}: the {what} cannot be created: {error.strerror or error}") from error
    if not fresh and not paths.journal.exists() and os.path.lexists(paths.output):
        raise OutputExistsError(paths.output)


def finish_renaming(journal: Journal, paths: Paths) -> None:
    """Put a rebuilt output in its place, as the journal's state says. May be cut off at any point and done again."""
    state = journal.state
    if not state.aside:
        return
    aside = paths.output.with_name(state.aside)
    try:
        if paths.rebuilt.exists():
            if not os.path.lexists(aside) and os.path.lexists(paths.output):
                paths.output.rename(aside)
            paths.rebuilt.replace(paths.output)
    except OSError as error:
        raise UsageError(f"{paths.output} cannot be moved to {aside}: {error.strerror or error}") from error
    journal.commit([], evolve(state, aside=""))


def _compare(journal: Journal, identity: Mapping[str, str], *, accept_changes: bool) -> None:
    changes = differences(journal.identity, identity)
    if not changes:
        return
    if not accept_changes:
        raise RunChangedError("the config asks for other answers than the run that is being continued:\n  " + "\n  ".join(changes))
    for key in FIXED:
        if journal.identity.get(key) != identity.get(key):
            raise UsageError(f"{key} cannot change within one output, not even with --accept-changes; use --fresh to start over")
    journal.accept(identity)


FIXED = ("sink.order", "sink.shape")  # lines of two shapes, or in two orders, make no output


def _see_that_it_is_whole(journal: Journal, held: Intervals, *, every_line: bool) -> None:
    state = journal.state
    expected = state.recorded - state.written
    if len(held) != expected:
        raise JournalDamagedError(journal.path, f"is damaged: it holds {len(held):,} outcomes instead of {expected:,}")
    if every_line:  # else one is looked at when its turn comes
        for _ in journal.lines(state.written):
            pass


def _done(state: State, held: Intervals, *, in_order: bool) -> Intervals:
    """The rows that have an outcome, where the journal holds these places."""
    if not in_order:
        return Intervals(state.done)
    return Intervals([(0, state.written), *held] if state.written else held)


def _take_spool(spool: Spool, journal: Journal, held: Intervals, *, in_order: bool) -> None:
    """Put in the journal what an earlier process had answered and got no further than the spool. May be done again.

    held: the places of which the journal has an outcome; those that it gets are added.
    """
    was = journal.state
    done = _done(was, held, in_order=in_order)
    free = (place for place in count(was.written) if place not in held)  # what was passed on stands in the spool in that order
    found: list[tuple[int, bytes]] = []
    ledger = Ledger(was.succeeded, was.failed, was.prompt_tokens, was.output_tokens)
    row_sum = was.row_sum
    for term, line in spool.lines():
        told = read_line(line)
        if told is not None and told.index not in done:
            done.add(told.index, told.index + 1)
            place = told.index if in_order else next(free)
            held.add(place, place + 1)
            found.append((place, line))
            ledger.count(told.usage, succeeded=told.succeeded)
            row_sum += term
    if found:
        state = evolve(
            was,
            succeeded=ledger.succeeded,
            failed=ledger.failed,
            prompt_tokens=ledger.prompt_tokens,
            output_tokens=ledger.output_tokens,
            row_sum=row_sum & MASK,
            done=() if in_order else tuple(done),
        )
        journal.commit(found, state)
    spool.remove()


def _take_tail(durable: DurableOutput) -> None:
    """Take what was written after the last commit for written, since the journal holds the same; cut off a torn line."""
    sink, held, first = durable.sink, durable.held, durable.state.written
    expected = _lines_held(durable, first)
    rest = b""
    lines = 0
    for piece in sink.tail():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if next(expected, None) != line + b"\n":
                raise _foreign_tail(durable)
            sink.account(line + b"\n")
            lines += 1
    if rest and not (next(expected, None) or b"").startswith(rest):
        raise _foreign_tail(durable)
    sink.cut()
    taken = 0
    while taken < lines:
        taken += held.take(first + taken, lines - taken)
    durable.settle(lines)


def _lines_held(durable: DurableOutput, first: int) -> Iterator[bytes]:
    for place, line in durable.journal.lines(first):
        if place != first:
            return
        first += 1
        yield line


def _foreign_tail(durable: DurableOutput) -> OutputChangedError:
    return OutputChangedError(
        f"{durable.sink.name} was edited: what stands behind its first {durable.state.bytes:,} bytes was not written by the run"
    )


def _write_held(durable: DurableOutput) -> None:
    """Write what the journal holds: in the order of completion nothing waits for anything."""
    while count := durable.held.take(durable.state.written, SKIP_ROWS):
        durable.sink.write(b"".join(durable.journal.read(durable.state.written, count)))
        durable.settle(count)


def _move_all_aside(paths: Paths) -> None:
    """Give the output and its journal new names, which belong together."""
    journals = [(path, f".journal{part}") for path, part in _parts_of(paths.journal)]
    _rename([(paths.output, ""), *journals], paths.output)


def move_journal_aside(paths: Paths) -> None:
    """Give the journal with all its parts another name. Raises UsageError."""
    _rename(_parts_of(paths.journal), paths.journal)


def _parts_of(journal: Path) -> list[tuple[Path, str]]:
    return [(journal.with_name(journal.name + part), part) for part in JOURNAL_PARTS]


def _rename(moves: list[tuple[Path, str]], base: Path) -> None:
    """Rename each path that is there to the first number behind `base` that is free with all endings."""
    aside = free_name(base, [ending for _, ending in moves])
    try:
        for path, ending in reversed(moves):  # the first last: while it has its name, the run can be told from a new one
            if os.path.lexists(path):
                path.rename(aside.with_name(aside.name + ending))
    except OSError as error:
        raise UsageError(f"{base} cannot be moved aside: {error.strerror or error}") from error


# ---- the input ---------------------------------------------------------------------------------------------------


def pass_over(path: str, source: RowSource, jobs: JobMaker, durable: DurableOutput, *, accept_changes: bool) -> None:
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

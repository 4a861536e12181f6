"""How a run goes on from what an earlier one left: what must be the same, what is cut back, and what is passed over.

The output counts as far as the last commit says, by its digest, and behind that as far as the journal holds the same
lines. Whatever else stands there is somebody else's, and is refused and not overwritten.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from itertools import count, islice
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.bookkeeping.fingerprint import MASK, SIMULATED, differences
from pipeline.core.bookkeeping.intervals import Intervals
from pipeline.durability.commits import Commits, ledger_of, runs_of
from pipeline.durability.entries import pieces
from pipeline.durability.keeping import Keeping
from pipeline.durability.made import Made, missing_folders
from pipeline.durability.paths import move_all_aside, see_that_output_can_be
from pipeline.durability.seen_input import SeenInput
from pipeline.durability.store import DurableStore
from pipeline.edges.store.journal import Journal
from pipeline.edges.store.marks import SentMarks
from pipeline.edges.store.output import FileSink, OutputLock
from pipeline.edges.store.spool import Spool
from pipeline.errors import JournalDamagedError, OutputChangedError, RunChangedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.core.output.kept import KeptFields
    from pipeline.durability.paths import Paths
    from pipeline.records import Outcome

WRITE_ROWS = 4096  # written at once of what the journal holds
COMMIT_BYTES = 8 << 20  # put into the journal at once


class Kind(Struct, eq=False):
    """How a run writes.

    encode: an outcome as a line. power: what is written survives the machine too. kept: the fields of the input that lines carry.
    base: index of the run's first row in the lines, where it goes through a part of the input only; `encode` must know it.
    """

    encode: Callable[[Outcome], bytes]
    in_order: bool
    power: bool
    kept: KeptFields | None = None
    base: int = 0


# ---- the output --------------------------------------------------------------------------------------------------


def open_durable(
    paths: Paths,
    kind: Kind,
    identity: Mapping[str, str],
    *,
    fresh: bool = False,
    accept_changes: bool = False,
) -> DurableStore:
    """Begin a run's output, or go on with it where it was left. Blocks.

    identity: what must be the same for the answers to belong together. fresh: move all that is there aside first.
    accept_changes: go on although the identity is another; the journal keeps the old one until it is told to `accept`.

    Raises UsageError while another run is at it; OutputExistsError for an output without a journal; RunChangedError for
    another identity; OutputChangedError for an output that the run has not written; JournalError for a journal that
    cannot be read.
    """
    with ExitStack() as opened:
        marks, journal, lock, made = open_journal(opened, paths, identity, power=kind.power, fresh=fresh)
        _refuse_another_kind_of_output(journal, identity)
        before = journal.state
        held = journal.places(before.written)
        _see_that_it_is_whole(journal, held, in_order=kind.in_order, every_line=accept_changes)
        spool = Spool(paths.spool, bytes.fromhex(journal.name))
        _take_spool(spool, journal, held, kind)
        _refuse_other_settings(journal, identity, accept_changes=accept_changes)
        state = journal.state
        lock.close()
        sink = opened.enter_context(closing(FileSink.resume(paths.output, state.bytes, create=not state.written)))
        if state.digest and sink.digest != state.digest:
            raise OutputChangedError(f"{paths.output} was edited: its first {state.bytes:,} bytes are not those that were written")
        done = done_rows(journal, held, in_order=kind.in_order)
        commits = Commits(journal, sink, SeenInput(state.prefix), done, in_order=kind.in_order, power=kind.power)
        durable = DurableStore(commits, Keeping(spool, kind.encode), marks, held, made, kind.kept)
        _take_tail(durable)
        if not kind.in_order:
            _write_held(durable)
        unknown = marks.unknown(done)
        commits.charge(commits.counted - before.recorded + unknown)
        durable.settle(unknown=unknown)
        commits.figures.spent = None
        marks.forget()
        spool.open()
        marks.reserve(durable.first_index)
        opened.pop_all()
        return durable


def open_journal(
    opened: ExitStack, paths: Paths, identity: Mapping[str, str], *, power: bool, fresh: bool = False
) -> tuple[SentMarks, Journal, OutputLock, Made]:
    """Lock a run's files and open its journal; what an earlier process had begun to rename is renamed. Closed with `opened`.

    Raises as `open_durable`.
    """
    folders = missing_folders(paths)
    see_that_output_can_be(paths, fresh=fresh)
    marks = SentMarks.open(paths.marks)
    opened.callback(marks.close)
    made = Made.since(paths, folders, is_new=marks.is_new)
    opened.push(made.on_refusal)
    lock = OutputLock.take(paths.output)  # another config may name this output, and another journal
    opened.callback(lock.close)
    if fresh:
        move_all_aside(paths)
        marks.forget()
    journal = opened.enter_context(closing(Journal.open(paths.journal, identity, power=power)))
    finish_renaming(journal, paths)
    return marks, journal, lock, made


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
    journal.commit([], replace(state, aside=""))


def _refuse_another_kind_of_output(journal: Journal, identity: Mapping[str, str]) -> None:
    """Refuse an order or a shape that the output does not have, before anything is understood in it."""
    changes = differences(journal.identity, identity)
    for key in FIXED:
        if journal.identity.get(key) != identity.get(key):
            changed = next(change for change in changes if change.startswith(key))
            if key == "sink.keep":
                changed += "; headrace export --columns adds fields to the results that are there"
            raise UsageError(f"{key} cannot change within one output ({changed}); use --fresh to start over (what is there is moved aside)")


def _refuse_other_settings(journal: Journal, identity: Mapping[str, str], *, accept_changes: bool) -> None:
    """Refuse a config that asks for other answers than those that are there. Where there are none, nothing is lost."""
    changes = differences(journal.identity, identity)
    address = "provider.base_url"
    if journal.identity.get(address) == SIMULATED != identity[address] and journal.state.succeeded:
        raise UsageError("the results that are there are those of a simulated provider; --fresh moves them aside and starts over")
    if changes and journal.state.succeeded and not accept_changes:
        from pipeline.core.output.words import many  # noqa: PLC0415  only a refusal counts in words

        state = journal.state
        resent = f" and sends the {many(state.failed, 'failed row')} again" if state.failed else ""
        raise RunChangedError(
            "the config asks for other answers than the run that is being continued:\n  " + "\n  ".join(changes),
            f" keeps the {many(state.succeeded, 'answer that is', 'answers that are')} there{resent}",
        )


FIXED = ("sink.order", "sink.shape", "sink.keep")  # an output cannot hold lines of two shapes, or in two orders


def _see_that_it_is_whole(journal: Journal, held: Intervals, *, in_order: bool, every_line: bool) -> None:
    state = journal.state
    expected = state.recorded - state.written
    if len(held) != expected:
        raise JournalDamagedError(journal.path, f"is damaged: it holds {len(held):,} outcomes instead of {expected:,}")
    if not in_order and len(done := journal.done()) != state.recorded:
        raise JournalDamagedError(journal.path, f"is damaged: it knows {len(done):,} rows that are done instead of {state.recorded:,}")
    if every_line:  # else one is looked at when its turn comes
        for _ in journal.lines(state.written):
            pass


def done_rows(journal: Journal, held: Intervals, *, in_order: bool) -> Intervals:
    """The rows that have an outcome, where the journal holds these places."""
    if not in_order:
        return journal.done()
    written = journal.state.written
    return Intervals([(0, written), *held] if written else held)


def _take_spool(spool: Spool, journal: Journal, held: Intervals, kind: Kind) -> None:
    """Put in the journal what an earlier process had answered and got no further than the spool. May be done again.

    held: the places of which the journal has an outcome; those that it gets are added.
    """
    was, in_order = journal.state, kind.in_order
    done = done_rows(journal, held, in_order=in_order)
    free = (place for place in count(was.written) if place not in held)  # what was passed on stands in the spool in that order
    found: list[tuple[int, bytes]] = []
    rows: list[int] = []
    size = 0
    ledger = ledger_of(was)
    row_sum = was.row_sum

    def commit() -> None:
        state = replace(
            was,
            succeeded=ledger.succeeded,
            failed=ledger.failed,
            prompt_tokens=ledger.prompt_tokens,
            output_tokens=ledger.output_tokens,
            finish_reasons=dict(ledger.finish_reasons),
            row_sum=row_sum & MASK,
        )
        journal.commit(found, state, [] if in_order else runs_of(done, rows))
        found.clear()
        rows.clear()

    for term, line in spool.lines():
        from pipeline.core.output.read_lines import read_line  # noqa: PLC0415  2 ms that a run without such lines does not pay

        told = read_line(line, kind.base)
        if told is not None and told.index not in done:
            done.add(told.index, told.index + 1)
            rows.append(told.index)
            place = told.index if in_order else next(free)
            held.add(place, place + 1)
            found.append((place, line))
            size += len(line)
            ledger.count([told.counted])
            row_sum += term
            if size >= COMMIT_BYTES:
                commit()
                size = 0
    if found:
        commit()
    spool.remove()


def _take_tail(durable: DurableStore) -> None:
    """Take what was written after the last commit for written, since the journal holds the same; cut off a torn line."""
    sink, held, first = durable.commits.sink, durable.held, durable.state.written
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


def _lines_held(durable: DurableStore, first: int) -> Iterator[bytes]:
    for place, line in durable.commits.journal.lines(first):
        if place != first:
            return
        first += 1
        yield line


def _foreign_tail(durable: DurableStore) -> OutputChangedError:
    return OutputChangedError(
        f"{durable.commits.sink.name} was edited: what stands behind its first {durable.state.bytes:,} bytes was not written by the run"
    )


def _write_held(durable: DurableStore) -> None:
    """Write what the journal holds: in the order of completion nothing waits for anything."""
    while held := durable.held.take(durable.state.written, WRITE_ROWS):
        for lines in pieces(line for _, line in islice(durable.commits.journal.lines(durable.state.written), held)):
            durable.commits.sink.write(b"".join(lines))
            durable.settle(len(lines))

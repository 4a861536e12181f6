"""What a run's journal says, commit by commit: how far the output is, and the counts that are true at that moment.

A row is counted once, at the first commit that has its line in the journal or in the output: these counts and those lines
are one transaction, so whatever commit a resume finds is true of the files that it finds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.bookkeeping.fingerprint import MASK
from pipeline.core.bookkeeping.going import RecentRate
from pipeline.core.bookkeeping.ledger import Ledger, Priced
from pipeline.edges.store.journal_schema import State
from pipeline.messages import Spending, Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.bookkeeping.going import Going
    from pipeline.core.bookkeeping.intervals import Intervals
    from pipeline.core.pacing.findings import Learned
    from pipeline.durability.entries import Entry
    from pipeline.durability.seen_input import SeenInput
    from pipeline.edges.store.journal import Journal
    from pipeline.edges.store.output import FileSink


class Commit(Struct, eq=False):
    """One commit. done: runs of rows that are done now, for the order of completion. history: what the run's report is made of."""

    entries: Sequence[Entry]
    state: State
    done: list[tuple[int, int]]
    history: tuple[int, bytes] | None = None


class Figures(Struct, eq=False):
    """What others know and each commit stores. They are called in the thread of the commit; one that nobody gives stays as it was.

    spent: of the run's budgets, if it has any. learned: of each lane's limits, by its name. going: how the run goes on, without its
    rate. priced: what the answers cost, where prices are known. history: a session and its data, if they are to be stored now; it is
    given True the last time.
    """

    spent: Callable[[], Spent] | None = None
    learned: Callable[[], dict[str, Learned]] | None = None
    going: Callable[[], Going] | None = None
    priced: Callable[[], Priced] | None = None
    history: Callable[[bool], tuple[int, bytes] | None] | None = None


class Commits:
    """The journal and the output that it describes.

    done: rows that have an outcome; kept up to date where rows are written in the order of completion, where the output's
    length does not say which they are. state: as of the last commit, or of the one that is being made.
    """

    def __init__(self, journal: Journal, sink: FileSink, seen: SeenInput, done: Intervals, *, in_order: bool, power: bool) -> None:
        self.journal = journal
        self.sink = sink
        self.seen = seen
        self.done = done
        self.in_order = in_order
        self.power = power
        was = self.state = journal.state
        self.figures = Figures()
        self._rate = RecentRate(time.monotonic(), was.recorded)
        self._ledger = ledger_of(was)
        self._row_sum = was.row_sum  # of the terms of the rows that are counted
        self._written = (was.written, was.bytes, was.digest)  # lines, bytes and digest of the output
        self._newly_done: list[int] = []  # in the order of completion, since the last commit

    @property
    def first_index(self) -> int:
        """The first row that has no outcome yet; in input order the first that is not written."""
        if self.in_order:
            return self._written[0]
        first, end = next(iter(self.done), (0, 0))
        return 0 if first else end

    @property
    def written(self) -> int:
        """Lines of the output."""
        return self._written[0]

    def note_written(self, lines: int) -> None:
        """Note that the output has this many more lines."""
        self._written = (self._written[0] + lines, self.sink.bytes_written, self.sink.digest)

    def count(self, entries: Sequence[Entry]) -> None:
        """Count rows that the journal or the output has now. Each must be counted once."""
        self._ledger.count([entry.counts for entry in entries if entry.counts is not None])
        self._row_sum += sum([entry.term for entry in entries])
        if not self.in_order:
            for entry in entries:
                if entry.counts is not None:
                    self.done.add(entry.index, entry.index + 1)
                    self._newly_done.append(entry.index)

    def charge(self, attempts: int) -> None:
        """Count attempts that the last commit did not know of against the budgets, each at the most that one may cost.

        Nobody knows on which lane they were made, so each lane's budget is charged.
        """
        was = self.state.budgets
        more = Spending(was.largest.cost * attempts, was.largest.tokens * attempts, was.largest.requests * attempts)
        charged = Spent(was.total + more, was.seconds, {name: spent + more for name, spent in was.lanes.items()}, was.largest)
        self.figures.spent = lambda: charged

    @property
    def counted(self) -> int:
        """Rows that are counted, whether a commit knows of them or not."""
        return self._ledger.total

    def prepare(self, entries: Sequence[Entry] = (), *, unknown: int = 0, rows: int | None = None, is_last: bool = False) -> Commit:
        """The commit that stores these rows, and what is true then.

        unknown: attempts of which nothing more is known, besides those before. rows: of the input, if its end was seen. is_last: the run
        has ended.
        """
        self.count(entries)
        was, ledger = self.state, self._ledger
        figures = self.figures
        spent = was.budgets if figures.spent is None else figures.spent()
        total = spent.total
        rate = self._rate.note(time.monotonic(), ledger.total)
        self.state = State(
            *self._written[:2],
            ledger.succeeded,
            ledger.failed,
            ledger.prompt_tokens,
            ledger.output_tokens,
            self._row_sum & MASK,
            was.unknown + unknown,
            self._written[2],
            self.seen.done_up_to(self.first_index),
            was.rows if rows is None else rows,
            committed_at=time.time(),
            spent=(total.cost, total.tokens, total.requests, spent.seconds),
            learned=was.learned if figures.learned is None else {**was.learned, **figures.learned()},
            going=was.going if figures.going is None else replace(figures.going(), rows_per_second=rate),
            finish_reasons=dict(ledger.finish_reasons),
            rejected=ledger.rejected,
            priced=was.priced if figures.priced is None else figures.priced(),
            spent_by_lane={**was.spent_by_lane, **spent.lanes},
            largest_attempt=spent.largest,
        )
        done = runs_of(self.done, self._newly_done)
        self._newly_done = []
        return Commit(entries, self.state, done, None if figures.history is None else figures.history(is_last))

    def commit(self, commit: Commit) -> None:
        """Make a commit, all or nothing. Blocks. Raises JournalError; SinkError under `power`.

        Under `power` the output is on the disk before the journal says what it holds.
        """
        if self.power:
            self.sink.sync()
        self.journal.commit(((entry.place, entry.text()) for entry in commit.entries), commit.state, commit.done, commit.history)


def ledger_of(state: State) -> Ledger:
    """The counts of a state, to go on from."""
    return Ledger(state.succeeded, state.failed, state.prompt_tokens, state.output_tokens, state.finish_reasons, state.rejected)


def runs_of(done: Intervals, rows: list[int]) -> list[tuple[int, int]]:
    """The runs of `done` in which these rows are now, each once."""
    runs: list[tuple[int, int]] = []
    end = 0
    for row in sorted(rows):
        if row >= end:
            runs.append(done.run_of(row))
            end = runs[-1][1]
    return runs

"""What a run leaves behind, and how it goes on from there: the output, the journal beside it, and the marks of what was sent.

Law 7: an outcome is in the journal before it is anywhere else, and leaves it only when the output has it. So the output
is cut back to what the journal says it holds, and all that was answered and is not in it is written again from there.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import trio
from attrs import define, evolve, field

from pipeline.core.identity import MASK, differences, row_digest, row_term
from pipeline.core.intervals import Intervals
from pipeline.edges.journal import Journal, State
from pipeline.edges.rows import RowSource
from pipeline.edges.sent import SentMarks
from pipeline.edges.sink import FileSink, move_aside
from pipeline.errors import OutputExistsError, RunChangedError, UsageError
from pipeline.records import Success

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pipeline.core.jobs import JobMaker
    from pipeline.edges.rows import RawRow
    from pipeline.records import Failure, Job, Outcome

SKIP_ROWS = 4096  # taken at once from the part of the input that is done


@define(eq=False)
class Entry:
    """A finished row as it is written. place: where in the output, in lines; in input order that is its index."""

    index: int
    place: int
    line: bytes


@define(eq=False)
class DurableOutput:
    """An output that survives its process: recorder and emitter of a flow in one. Owns its files; close it.

    held: places that the journal holds for the output. done: rows that have an outcome.
    """

    sink: FileSink
    journal: Journal
    marks: SentMarks
    encode: Callable[[Outcome], bytes]
    in_order: bool
    power: bool
    held: Intervals
    done: Intervals
    state: State
    _digests: dict[int, int] = field(factory=dict, init=False)
    _written: tuple[int, int] = field(init=False)  # lines and bytes that the output has
    _next_place: int = field(init=False)
    _first_index: int = field(init=False)
    _done_end: int = field(init=False)  # no row from here on was done when this was opened

    def __attrs_post_init__(self) -> None:
        self._done_end = max((end for _, end in self.done), default=0)
        self._written = (self.state.written, self.state.bytes)
        self._next_place = self.state.recorded
        self._first_index = self.state.written if self.in_order else 0

    @property
    def first_index(self) -> int:
        """The first row that is not written, where that is known without looking at each."""
        return self._first_index

    def rewritten(self, lines: int) -> None:
        """Note that so many more lines of the journal are in the output now."""
        self._written = (self._written[0] + lines, self.sink.bytes_written)
        self.state = evolve(self.state, written=self._written[0], bytes=self._written[1])

    # ---- what a flow asks of it ----------------------------------------------------------------------------------

    async def record(self, outcomes: list[Outcome]) -> list[Entry]:
        """Make outcomes durable. Raises JournalError, or SinkError where power loss is to be survived.

        Cancellation: the group is recorded before it is heeded.
        """
        entries, state = self._enter(outcomes)
        await trio.to_thread.run_sync(self._commit, entries, state)
        return entries

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Make outcomes durable at once."""
        self._commit(*self._enter(outcomes))

    async def read_back(self, first: int, count: int) -> list[Entry]:
        """Recorded rows that are next to be written."""
        lines = await trio.to_thread.run_sync(self.journal.read, first, count)
        return [Entry(index, index, line) for index, line in enumerate(lines, first)]

    async def emit(self, entries: list[Entry]) -> None:
        """Append rows to the output. Raises SinkError.

        Cancellation: the group is written before it is heeded.
        """
        await trio.to_thread.run_sync(self.sink.write, b"".join([entry.line for entry in entries]))
        self._written = (self._written[0] + len(entries), self.sink.bytes_written)

    def make_jobs(
        self, make: Callable[[list[RawRow], int], list[Job | Failure]], rows: list[RawRow], first: int
    ) -> list[Job | Failure | None]:
        """Jobs of rows, None for those that are done already; remembers what each was made of."""
        made: list[Job | Failure | None] = list(make(rows, first))
        digests = self._digests
        done = self.done if first < self._done_end else ()
        for index, row in enumerate(rows, first):
            if index in done:
                made[index - first] = None
            else:
                digests[index] = row_digest(row)
        return made

    # ---- recording -----------------------------------------------------------------------------------------------

    def _enter(self, outcomes: list[Outcome]) -> tuple[list[Entry], State]:
        entries = []
        succeeded = prompt = output = row_sum = 0
        for outcome in outcomes:
            index = outcome.index
            place = index
            if not self.in_order:
                place = self._next_place
                self._next_place += 1
                self.done.add(index, index + 1)
            entries.append(Entry(index, place, self.encode(outcome)))
            row_sum += row_term(index, self._digests.pop(index))
            if isinstance(outcome, Success):
                succeeded += 1
                prompt += outcome.usage.prompt_tokens
                output += outcome.usage.output_tokens
        was = self.state
        self.state = State(
            *self._written,
            was.succeeded + succeeded,
            was.failed + len(outcomes) - succeeded,
            was.prompt_tokens + prompt,
            was.output_tokens + output,
            (was.row_sum + row_sum) & MASK,
            was.unknown,
            () if self.in_order else tuple(self.done),
        )
        return entries, self.state

    def _commit(self, entries: list[Entry], state: State) -> None:
        if self.power:
            self.sink.sync()
        self.journal.commit([(entry.place, entry.line) for entry in entries], state)

    def finish(self) -> None:
        """Note that all that was recorded is written. Blocks. Raises JournalError, SinkError."""
        self.state = evolve(self.state, written=self._written[0], bytes=self._written[1])
        self._commit([], self.state)
        if self.state.written == self.state.recorded:
            self.marks.forget()

    def close(self) -> None:
        """Give the files back; what is recorded is durable."""
        self.journal.close()
        self.marks.close()
        self.sink.close()


@define(eq=False)
class Paths:
    """The files of one run. marks lie beside the journal."""

    output: Path
    journal: Path

    @property
    def marks(self) -> Path:
        """Where sent rows are marked."""
        return self.journal.with_name(self.journal.name + ".sent")


def open_durable(
    paths: Paths,
    identity: Mapping[str, str],
    encode: Callable[[Outcome], bytes],
    *,
    in_order: bool,
    power: bool,
    fresh: bool,
    accept_changes: bool,
) -> DurableOutput:
    """Begin a run's output, or go on with it where it was left. Blocks.

    identity: what must be the same for the answers to belong together. fresh: move all that is there aside first.
    accept_changes: go on although the identity is another.

    Raises UsageError while another run is at it, or where no file can be; OutputExistsError for an output without a
    journal; RunChangedError for another identity, or an output that is not what the journal knows; JournalError for a
    journal that cannot be read.
    """
    with ExitStack() as opened:
        for path in (paths.output, paths.journal):
            _make_place(path)
        marks = SentMarks.open(paths.marks)
        opened.callback(marks.close)
        if fresh:
            _move_all_aside(paths)
        if not paths.journal.exists() and paths.output.exists():
            raise OutputExistsError(paths.output)
        journal = opened.enter_context(closing(Journal.open(paths.journal, identity, power=power)))
        _compare(journal, identity, accept_changes=accept_changes)
        state = journal.state
        sink = opened.enter_context(closing(FileSink.resume(paths.output, state.bytes)))
        held = journal.places()
        done = Intervals(state.done) if not in_order else _with_prefix(state.written, held)
        state = evolve(state, unknown=state.unknown + marks.take_unknown(done))
        durable = DurableOutput(sink, journal, marks, encode, in_order, power, held, done, state)
        if not in_order:
            _write_held(durable)
        opened.pop_all()
        return durable


def _make_place(path: Path) -> None:
    """Make the directories above a file that will be kept. What is no file there is not ours to move or to write to."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file, and only such a file can be continued and verified")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {path.parent} cannot be made: {error.strerror or error}") from error


def _with_prefix(written: int, held: Intervals) -> Intervals:
    done = Intervals([(0, written)] if written else [])
    for first, end in held:
        done.add(first, end)
    return done


def _write_held(durable: DurableOutput) -> None:
    """Write what the journal holds: in the order of completion nothing waits for anything."""
    while True:
        first = durable.state.written
        count = durable.held.take(first, SKIP_ROWS)
        if not count:
            return
        durable.sink.write(b"".join(durable.journal.read(first, count)))
        durable.rewritten(count)


def _compare(journal: Journal, identity: Mapping[str, str], *, accept_changes: bool) -> None:
    changes = differences(journal.identity, identity)
    if not changes:
        return
    if not accept_changes:
        raise RunChangedError("the config asks for other answers than the run that is being continued:\n  " + "\n  ".join(changes))
    journal.accept(identity)


def _move_all_aside(paths: Paths) -> None:
    aside = move_aside(paths.output)
    for suffix in ("", "-wal"):
        journal = paths.journal.with_name(paths.journal.name + suffix)
        if journal.exists():
            # What was answered and not yet written is in there; SQLite finds the log by its name.
            journal.replace((aside or paths.output).with_name(f"{(aside or paths.output).name}.journal{suffix}"))
    paths.journal.with_name(paths.journal.name + "-shm").unlink(missing_ok=True)


def skip_done(path: str, source: RowSource, jobs: JobMaker, durable: DurableOutput, *, accept_changes: bool) -> None:
    """Pass the rows that are written, and hold all that are done against what was answered. Blocks.

    Raises RunChangedError when they are not the rows that were answered.
    """
    row_sum = 0
    index = 0
    while index < durable.first_index:
        rows = source.take(min(SKIP_ROWS, durable.first_index - index))
        if not rows:
            break
        jobs.claim(rows, index)
        for at, row in enumerate(rows, index):
            row_sum += row_term(at, row_digest(row))
        index += len(rows)
    if index < durable.first_index:
        raise RunChangedError(f"{path} has {index} rows, but {durable.first_index} were answered already")
    if accept_changes or path == "-":
        return
    row_sum += _sum_of(path, durable.done, durable.first_index)
    if row_sum & MASK != durable.state.row_sum:
        raise RunChangedError(f"{path} has changed: its rows are not those that were answered ({durable.state.recorded} of them)")


def _sum_of(path: str, done: Intervals, first: int) -> int:
    """The sum over the rows from `first` on that are done."""
    last = max((end for _, end in done), default=0)
    if last <= first:
        return 0
    total = index = 0
    with closing(RowSource.open(path)) as source:
        while index < last:
            rows = source.take(SKIP_ROWS)
            if not rows:
                raise RunChangedError(f"{path} has {index} rows, but row {last} was answered already")
            total += sum(row_term(at, row_digest(row)) for at, row in enumerate(rows, index) if at >= first and at in done)
            index += len(rows)
    return total

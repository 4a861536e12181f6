"""Opens a run's files and catches up with what an earlier run has left: everything that happens before the first request is sent.

The run continues with an earlier run's results, unless some of them are no longer valid: rows whose text has changed,
failures that are to be sent again, other settings, an output that was edited. Then a new output is written once,
without those results (`durability/rebuild.py`), and opened again.
"""

from __future__ import annotations

import errno
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.fingerprint import differences
from pipeline.core.output.kept import KeptFields
from pipeline.core.output.lines import encode_batch
from pipeline.durability.catch_up import KnownRows, catch_up, rows_unknown
from pipeline.durability.made import REFUSALS
from pipeline.durability.paths import Paths
from pipeline.durability.resume import Kind, open_durable
from pipeline.edges.store.hashes import RowHashes
from pipeline.errors import (
    InputChangedError,
    InputError,
    JournalDamagedError,
    JournalError,
    OutputChangedError,
    OutputExistsError,
    UsageError,
)
from pipeline.runs.assembly import reuse_of
from pipeline.runs.inputs import identity_of, job_maker, source_opener

if TYPE_CHECKING:
    from types import TracebackType

    from pipeline.config import Config
    from pipeline.core.output.written import FailureChoice
    from pipeline.core.rows.jobs import JobMaker
    from pipeline.durability.catch_up import Changes
    from pipeline.durability.reuse import AnswerReuse, CountedJobs
    from pipeline.durability.store import DurableStore
    from pipeline.ports import Source
    from pipeline.runs.inputs import Extent

# What the system says of a place where no file can be, however much space there is.
NO_PLACE = frozenset((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP))


class Choices(Struct, frozen=True):
    """How to go on; see `pipeline.run`. retry: failed rows to send again."""

    fresh: bool = False
    accept_changes: bool = False
    retry: FailureChoice | None = None


class OpenedRun(Struct, eq=False):
    """The open files of a run, and where it stands in its input. Close it.

    keeps_answers: what `reuse` has is for other runs, too. is_new: no earlier run has left anything.
    """

    source: Source
    jobs: JobMaker
    durable: DurableStore
    known: KnownRows
    reuse: AnswerReuse | None
    keeps_answers: bool
    is_new: bool
    paths: Paths
    files: ExitStack

    def close(self) -> None:
        """Close everything. Raises what closing the output raises."""
        self.files.close()

    def withdraw(self) -> None:
        """Close everything, and leave nothing behind of a run that has sent nothing and found nothing."""
        self.close()
        self.paths.remove_all()

    def forget_answers(self) -> None:
        """Remove what equal rows of this run share, since no row is left that could."""
        if self.reuse is not None and not self.keeps_answers:
            self.reuse.close()
            self.paths.remove_answers()


def open_run(config: Config, source: Source, choices: Choices, extent: Extent | None = None) -> OpenedRun:
    """Open the files of a config's run, repair them if that was asked for, and move the source past the rows that are done.

    source: owned by the run from here on, also after an error. extent: the part of the input that it reads; None is all of it. Blocks.
    Raises UsageError as `pipeline.run` does, also where a folder cannot be written to, and JournalError.
    """
    try:
        return _Opening(config, choices, extent, can_be_reopened=source.can_be_reopened).open(source)
    except JournalError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_PLACE:
            raise UsageError(f"{error}; name a place that can be written to (sink.path, journal.path)") from error
        raise


class _Opening:
    def __init__(self, config: Config, choices: Choices, extent: Extent | None, *, can_be_reopened: bool) -> None:
        self._config = config
        self._extent = extent
        self._choices = choices
        self._can_be_reopened = can_be_reopened
        self._open_source = source_opener(config) if extent is None else extent.open_source
        self._paths = Paths.of(config.sink.path, config.journal.path)
        self._is_new = choices.fresh or not (self._paths.journal.exists() or self._paths.output.exists())
        self._identity = identity_of(config, extent)
        self._taking_back: _TakingBack
        encode = encode_batch
        if config.sink.shape.value != "batch":
            from pipeline.core.output.flat_lines import encode_flat  # noqa: PLC0415  most runs write batch lines

            encode = encode_flat
        self._kind = Kind(
            encode if extent is None else partial(encode, base=extent.first),
            config.sink.order.value == "input",
            config.journal.durability.value == "power",
            KeptFields(config.sink.keep) if config.sink.keep else None,
            0 if extent is None else extent.first,
        )

    def open(self, source: Source) -> OpenedRun:
        choices = self._choices
        with ExitStack() as files:
            files.callback(source.close)
            run, changes = self._open_files(source, files, fresh=choices.fresh)
            if changes is not None and changes.unknown:
                raise rows_unknown(source.name, run.known.hashes)
            stale = self._is_stale(run.durable)
            if changes is not None or stale or (choices.retry is not None and not choices.fresh):
                self._see_that_it_can_be_read_again(source.name, changes)
                run.durable.marks.forget()  # nothing was sent, and what comes may be refused
                run.durable.keeping.spool.remove()
                files.close()
                self._rebuild(failures=choices.retry, stale=stale, whole=choices.accept_changes and changes is not None)
                source = files.enter_context(closing(self._open_source()))
                run, changes = self._open_files(source, files)
                if changes is not None:
                    raise InputChangedError(f"{source.name} has changed: {changes}")
            if differences(run.durable.commits.journal.identity, self._identity):
                run.durable.commits.journal.accept(self._identity)
            run.files = files.pop_all()
            self._taking_back.has_begun = True  # a file that cannot be closed at its end must take nothing away
            return run

    def _open_files(self, source: Source, files: ExitStack, *, fresh: bool = False) -> tuple[OpenedRun, Changes | None]:
        """Open all that belongs to the run, closed with `files`, and catch up; how the rows that are done have changed."""
        config, paths = self._config, self._paths
        reuse = None if config.cache is None else files.enter_context(closing(reuse_of(config, None)))
        durable = files.enter_context(closing(self._open_output(fresh=fresh)))
        self._taking_back = _TakingBack(durable)
        files.push(self._taking_back)
        if config.dedupe and reuse is None:  # its file belongs to the journal, which is locked only now
            reuse = files.enter_context(closing(reuse_of(config, paths.answers)))
        hashes = files.enter_context(closing(RowHashes.open(paths.hashes)))
        jobs = files.enter_context(closing(job_maker(config, self._extent, count_tokens=False)))
        known = KnownRows(source.name, source.can_be_reopened, durable, hashes)
        counted: JobMaker | CountedJobs = jobs
        if reuse is not None and reuse.occurrences is not None:
            from pipeline.durability.reuse import CountedJobs  # noqa: PLC0415  few runs reuse answers

            counted = CountedJobs(jobs, reuse)
        changes = catch_up(self._open_source, source, counted, durable, known)
        return OpenedRun(source, jobs, durable, known, reuse, config.cache is not None, self._is_new, paths, files), changes

    def _is_stale(self, durable: DurableStore) -> bool:
        """Whether there are failures of other settings than those of now."""
        return durable.state.failed > 0 and bool(differences(durable.commits.journal.identity, self._identity))

    def _open_output(self, *, fresh: bool = False) -> DurableStore:
        accept = self._choices.accept_changes
        try:
            return open_durable(self._paths, self._kind, self._identity, fresh=fresh, accept_changes=accept)
        except (OutputChangedError, OutputExistsError, JournalDamagedError) as error:
            if not accept:
                raise
            self._see_that_it_can_be_read_again(self._config.source.name, None)
            if not isinstance(error, OutputChangedError):
                from pipeline.durability.rebuild import renew_journal  # noqa: PLC0415  few runs repair anything

                renew_journal(self._paths, self._identity)
            self._rebuild(failures=None, stale=False, whole=True)
            return open_durable(self._paths, self._kind, self._identity, accept_changes=accept)

    def _rebuild(self, *, failures: FailureChoice | None, stale: bool, whole: bool) -> None:
        from pipeline.core.output.written import NO_FAILURES  # noqa: PLC0415  few runs repair anything
        from pipeline.durability.rebuild import Repair, rebuild  # noqa: PLC0415  as above

        repair = Repair(failures or NO_FAILURES, stale=stale, accept_changes=self._choices.accept_changes, whole=whole)
        with closing(job_maker(self._config, self._extent)) as jobs, closing(self._open_source()) as source:
            rebuild(self._paths, self._kind, source, jobs, self._identity, repair)

    def _see_that_it_can_be_read_again(self, name: str, changes: Changes | None) -> None:
        if self._can_be_reopened:
            return
        if changes is not None:
            raise InputChangedError(f"{name} has changed: {changes}", can_be_read_again=False)
        raise InputError(f"{name} cannot be read again; put the input into a file to send some of its rows again")


class _TakingBack(Struct, eq=False):
    """For an ExitStack: close the files of a run whose start is refused, and remove those that it has made. Not once the run has begun."""

    durable: DurableStore
    has_begun: bool = False

    def __call__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self.has_begun or kind is None or not issubclass(kind, REFUSALS):
            return
        durable = self.durable
        with ExitStack() as closing:  # the last first; the marks are the lock
            closing.callback(durable.marks.close)
            closing.callback(durable.made.remove)
            for close in (durable.commits.sink.close, durable.keeping.spool.remove, durable.marks.forget, durable.commits.journal.close):
                closing.callback(close)

"""Reads what a report is about: the journal's state and history, and the failed rows in the output. Changes nothing."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.bookkeeping.together import together
from pipeline.core.output.read_lines import read_line
from pipeline.durability.paths import Paths
from pipeline.edges.store.journal_reading import histories, peek
from pipeline.edges.store.journal_schema import State
from pipeline.edges.store.marks import is_locked
from pipeline.edges.telemetry.kept import read_history
from pipeline.engines.totals import totals_of
from pipeline.errors import InputError, JournalDamagedError, JournalError
from pipeline.inspect.results import result_files, run_directory
from pipeline.records import OF_A_RESPONSE, FailureKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.config import Config
    from pipeline.core.bookkeeping.history import History
    from pipeline.core.output.written import Written
    from pipeline.engines.rundir import RunDirectory

MOST_FAILED = 1000  # failed rows that a report lists; all of them are counted
LONGEST = 300  # characters of a message
OWN_CODES = frozenset(kind.value for kind in FailureKind) - {kind.value for kind in OF_A_RESPONSE}
SUCCESS_ENDS = (b'"error":null}\n',)  # of a batch line; then only its status is looked at


class FailedLine(Struct, frozen=True):
    """A row that failed, as the output has it. index: from 0."""

    index: int
    custom_id: str
    code: str
    status: int | None
    message: str
    transient: bool


class Gathered(Struct, frozen=True):
    """All that a report says, before it is said. failures: by code, all of them; failed: the first ones."""

    state: State
    running: bool
    sessions: list[History]
    failures: dict[str, int]
    failed: list[FailedLine]
    passing: int


def gather(config: Config) -> Gathered:
    """Read the files of a config's run.

    Raises: InputError, where no run has begun; JournalError, where the journal cannot be read.
    """
    directory = run_directory(config)
    state, running, sessions = _journal_of(config) if directory is None else _journals_in(directory)
    counts: Counter[str] = Counter()
    failed: list[FailedLine] = []
    passing = 0
    for line in _failed_lines(result_files(config)) if state.failed else ():
        counts[_code_of(line)] += 1
        passing += line.transient
        if len(failed) < MOST_FAILED:
            failed.append(_failed_line(line))
    return Gathered(state, running, sessions, dict(counts.most_common()), failed, passing)


def _journal_of(config: Config) -> tuple[State, bool, list[History]]:
    """What the journal of a run by one process says."""
    paths = Paths.of(config.sink.path, config.journal.path)
    if not paths.journal.exists():
        raise InputError(f"{paths.journal}: there is no journal; no run has begun")
    running = is_locked(paths.marks)
    state, _, _ = peek(paths.journal)
    return state, running, _histories_in(paths.journal)


def _histories_in(journal: Path) -> list[History]:
    try:
        return [read_history(data) for data in histories(journal)]
    except ValueError as error:
        raise JournalDamagedError(journal, f"is damaged: its history is {error}") from error


def _journals_in(directory: RunDirectory) -> tuple[State, bool, list[History]]:
    """What the journals of all shards say together. Those on the disks of other machines are not seen."""
    manifest = directory.manifest()
    totals = totals_of(directory, manifest.plan)
    told: list[tuple[History, int]] = []
    for shard in manifest.plan.shards:
        journal = directory.journal(shard.number)
        with suppress(JournalError):  # a worker begins it just now
            told += [(history, shard.first) for history in (_histories_in(journal) if journal.exists() else ())]
    state = State(
        written=totals.written,
        bytes=totals.output_bytes,
        succeeded=totals.succeeded,
        failed=totals.failed,
        prompt_tokens=totals.prompt_tokens,
        output_tokens=totals.output_tokens,
        unknown=totals.unknown,
        digest=manifest.collected,
        rows=manifest.plan.rows,
        committed_at=totals.committed_at,
        finish_reasons=dict(totals.finish_reasons),
        rejected=totals.rejected,
    )
    return state, directory.is_locked, together(told)


def _failed_lines(files: Sequence[Path]) -> Iterator[Written]:
    """The failures of an output of either shape. A successful line is passed by its first and last bytes: most of them are."""
    for output in files:
        with output.open("rb") as lines:
            for line in lines:
                if line.endswith(SUCCESS_ENDS) and b'"status_code":2' in line[:160]:
                    continue
                if b'"status":"success"' in line[:700]:
                    continue
                told = read_line(line)
                if told is not None and not told.succeeded:
                    yield told


def _failed_line(line: Written) -> FailedLine:
    message = " ".join((line.message or "").split())
    shown = message if len(message) <= LONGEST else message[:LONGEST] + "…"
    return FailedLine(line.index, line.custom_id[:200], _code_of(line), line.status_code, shown, line.transient)


def _code_of(line: Written) -> str:
    """What failures are counted by, as in the summary of a run."""
    if line.code in OWN_CODES or line.status_code is None:
        return line.code or "unknown"
    return f"http_{line.status_code}"

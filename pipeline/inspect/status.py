"""Shows the progress of a run from its journal, whether it is finished, stopped or running. Changes nothing, and disturbs no run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import field
from msgspec.structs import replace

from pipeline.core.bookkeeping.fingerprint import differences
from pipeline.core.bookkeeping.going import Going
from pipeline.durability.paths import Paths
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.marks import is_locked
from pipeline.engines.figures import going_together
from pipeline.engines.totals import totals_of
from pipeline.errors import InputError
from pipeline.inspect.results import run_directory
from pipeline.runs.inputs import identity_of
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.config import Config
    from pipeline.core.bookkeeping.going import LaneWait
    from pipeline.engines.rundir import RunDirectory
    from pipeline.engines.totals import Totals

QUIET_SECONDS = 60.0  # longer than the longest wait between an outcome and its commit, and than most answers take


class Status(Record, frozen=True):
    """What is known of a run; the same keys as `--json` prints.

    running: a process is at it. finished: every row of the input has its line. recorded: rows that have an outcome;
    written: those that are in the output; waiting: those that wait in the journal for an earlier row. rows: of the
    input, None while its end was not seen. rows_expected: the same, or an estimate by the bytes that were read; None where nothing
    tells. fraction: of these that have an outcome. committed_at: of the last commit, seconds since the epoch, 0 for none. changes:
    what the config asks for that the run did not.

    While it is running: rows_per_second, of late; in_flight, attempts; waiting_to_retry, rows whose next attempt is not due yet;
    eta_seconds, until the end at this rate, as of the last commit. It is None once nothing is left but attempts in flight and rows
    that wait to be retried, for then no rate tells when they end.

    bound: what holds the run back then; limited_by, attained and, of several lanes, lanes: as in `Summary`, up to then. A run without an
    outcome for QUIET_SECONDS has no rate: its last commit is as old as that.

    shards, shards_done: of a run by several workers, how many there are and how many are whole; None for one process.
    """

    running: bool
    finished: bool
    recorded: int
    written: int
    waiting: int
    succeeded: int
    failed: int
    rows: int | None
    unknown_outcome: int
    prompt_tokens: int
    output_tokens: int
    output_bytes: int
    committed_at: float
    changes: tuple[str, ...]
    rows_expected: int | None = None
    fraction: float | None = None
    rows_per_second: float | None = None
    eta_seconds: float | None = None
    in_flight: int = 0
    waiting_to_retry: int = 0
    shards: int | None = None
    shards_done: int | None = None
    bound: str = ""
    limited_by: Mapping[str, float] = field(default_factory=dict)
    attained: float | None = None
    lanes: tuple[LaneWait, ...] = ()


def status(config: Config) -> Status:
    """Read the journal of a config's run.

    Raises InputError if there is none, JournalError if it cannot be read.
    """
    directory = run_directory(config)
    if directory is not None:
        return _status_of_workers(config, directory)
    paths = Paths.of(config.sink.path, config.journal.path)
    if not paths.journal.exists():
        raise InputError(f"{paths.journal}: there is no journal; no run has begun")
    running = is_locked(paths.marks)
    state, identity, held = peek(paths.journal)
    going = _of_late(state.going, state.committed_at) if running else Going()
    expected = state.going.rows_expected if state.rows is None else state.rows
    left = None if expected is None else max(0, expected - state.recorded)
    return Status(
        running=running,
        finished=not running and state.rows is not None and state.written >= state.rows,
        recorded=state.recorded,
        written=state.written,
        waiting=held,
        succeeded=state.succeeded,
        failed=state.failed,
        rows=state.rows,
        unknown_outcome=state.unknown,
        prompt_tokens=state.prompt_tokens,
        output_tokens=state.output_tokens,
        output_bytes=state.bytes,
        committed_at=state.committed_at,
        rows_expected=expected,
        fraction=_fraction(state.recorded, expected, whole=state.rows is not None),
        rows_per_second=going.rows_per_second,
        eta_seconds=_eta(left, going),
        in_flight=going.in_flight,
        waiting_to_retry=going.waiting,
        changes=tuple(differences(identity, identity_of(config))),
        bound=going.bound,
        limited_by=going.limited_by,
        attained=going.attained,
        lanes=going.lanes,
    )


def _of_late(going: Going, committed_at: float) -> Going:
    """How the run goes on; without a rate if nothing has come of it for a while, because each outcome makes a commit soon."""
    return going if time.time() - committed_at < QUIET_SECONDS else replace(going, rows_per_second=None)


def _status_of_workers(config: Config, directory: RunDirectory) -> Status:
    """The same over a run directory, by what is in it: journals on the disks of other machines are not seen."""
    manifest = directory.manifest()
    plan, totals = manifest.plan, totals_of(directory, manifest.plan)
    running = directory.is_locked
    going = _going_of_workers(directory, totals) if running else Going()
    return Status(
        running=running,
        finished=not running and len(totals.done) == len(plan.shards),
        recorded=totals.rows,
        written=totals.written,
        waiting=totals.waiting,
        succeeded=totals.succeeded,
        failed=totals.failed,
        rows=plan.rows,
        unknown_outcome=totals.unknown,
        prompt_tokens=totals.prompt_tokens,
        output_tokens=totals.output_tokens,
        output_bytes=totals.output_bytes,
        committed_at=totals.committed_at,
        changes=tuple(differences(manifest.identity, identity_of(config))),
        rows_expected=plan.rows,
        fraction=_fraction(totals.rows, plan.rows, whole=True),
        rows_per_second=going.rows_per_second,
        eta_seconds=_eta((going.rows_expected or plan.rows) - totals.rows, going),
        in_flight=going.in_flight,
        waiting_to_retry=going.waiting,
        shards=len(plan.shards),
        shards_done=len(totals.done),
        bound=going.bound,
        limited_by=going.limited_by,
        attained=going.attained,
        lanes=going.lanes,
    )


def _going_of_workers(directory: RunDirectory, totals: Totals) -> Going:
    """How a run by workers goes on, as the process that directs it has saved; by the journals that are here if it saves nothing."""
    saved = directory.saved_going()
    if saved is not None and time.time() - saved.at < QUIET_SECONDS:
        return saved.going
    together = going_together(totals.going)
    return replace(together, in_flight=totals.in_flight, waiting=totals.to_retry, rows_per_second=totals.rate)


def _fraction(recorded: int, expected: int | None, *, whole: bool) -> float | None:
    """The part that is done; below 1 while the number of rows is an estimate."""
    if expected is None:
        return None
    share = recorded / expected if expected else 1.0
    return round(share if whole else min(share, 0.99), 4)


def _eta(left: int | None, going: Going) -> float | None:
    if left is None or not going.rows_per_second or left <= going.in_flight + going.waiting:
        return None
    return round(left / going.rows_per_second, 1)

"""Shows the progress of a run from its journal, whether it is finished, stopped or running. Changes nothing, and disturbs no run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from pipeline.core.bookkeeping.fingerprint import differences
from pipeline.durability.paths import Paths
from pipeline.edges.store.journal_reading import peek
from pipeline.edges.store.marks import is_locked
from pipeline.errors import InputError
from pipeline.runs.assembly import identity_of

if TYPE_CHECKING:
    from pipeline.config import Config


@frozen
class Status:
    """What is known of a run; the same keys as `--json` prints.

    running: a process is at it. finished: every row of the input has its line. recorded: rows that have an outcome;
    written: those that are in the output; waiting: those that wait in the journal for an earlier row. rows: of the
    input, None while its end was not seen. committed_at: of the last commit, seconds since the epoch, 0 for none.
    changes: what the config asks for that the run did not.
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


def status(config: Config) -> Status:
    """Read the journal of a config's run.

    Raises InputError if there is none, JournalError if it cannot be read.
    """
    paths = Paths.of(config.sink.path, config.journal.path)
    if not paths.journal.exists():
        raise InputError(f"{paths.journal}: there is no journal; no run has begun")
    running = is_locked(paths.marks)
    state, identity, held = peek(paths.journal)
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
        changes=tuple(differences(identity, identity_of(config))),
    )

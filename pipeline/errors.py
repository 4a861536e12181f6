"""What can stop a run, as exceptions that carry data and derive their text from it.

    HeadraceError
    ├── UsageError            nothing was sent (exit code 2)
    │   ├── ConfigError       every problem of a config at once
    │   ├── InputError        the input cannot be read
    │   ├── OutputExistsError an output would have been overwritten
    │   └── RunChangedError   a run cannot go on: input, config or output is another
    │       ├── InputChangedError   it is the input
    │       └── OutputChangedError  it is the output
    ├── SinkError             the output cannot be written; a run turns it into RunAborted
    ├── JournalError          the journal can be neither read nor written; likewise
    │   ├── JournalDamagedError  it is not what was written
    │   └── JournalGoneError  somebody deleted it while the run wrote to it
    ├── CacheError            the cache of answers can be neither read nor written; likewise
    └── RunStopped            the run ended before its input did; carries the summary
        ├── RunAborted        the provider or the machine forbids going on (exit code 3)
        └── RunInterrupted    somebody asked it to stop (exit code 130)

A row that fails is never an exception: it is a `Failure` record in the row's place.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.records import Outcome
    from pipeline.summaries import Summary


SINK_ADVICE = {
    errno.ENOSPC: "free some space, then run again",
    errno.EDQUOT: "free some of your quota, then run again",
    errno.EFBIG: "the file system or a limit (ulimit -f) allows no longer file",
    errno.EROFS: "the file system has become read-only; look at the disk before you run again",
    errno.EIO: "the disk or network file system failed; look at it before you run again",
    errno.EPIPE: "the reader of the output has gone",
}


class HeadraceError(Exception):
    """The base of all errors that this package raises on purpose."""


class UsageError(HeadraceError):
    """A wrong call, config or input; nothing was sent."""


class Problem(Struct, frozen=True):
    """One thing wrong with a config. key: dotted path, "" for the file. line: 1-based, None when from the command line."""

    key: str
    message: str
    source: str
    line: int | None = None

    def __str__(self) -> str:
        """`file:line: key: message`, leaving out what is not known, and the key where `--set KEY` names it already."""
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        key = "" if self.source == f"--set {self.key}" else self.key
        return ": ".join(part for part in (place, key, self.message) if part)


class ConfigError(UsageError):
    """Everything that is wrong with a config, at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class InputError(UsageError):
    """The input cannot be opened or is not of its kind."""


class OutputExistsError(UsageError):
    """An output is already there. path: that file. advice: what to do about it."""

    ADVICE = "use --fresh to move it aside and start over, or --accept-changes to go on from the results in it"

    def __init__(self, path: Path, advice: str = ADVICE) -> None:
        self.path = path
        super().__init__(f"{path} exists and is never overwritten; {advice}")


class RunChangedError(UsageError):
    """A run cannot go on, because its input, config or output is another than it was.

    difference: what differs. accepting: what --accept-changes would do about it.
    """

    def __init__(self, difference: str, accepting: str = " goes on all the same") -> None:
        self.difference = difference
        super().__init__(
            f"{difference}\nthe same command with --accept-changes{accepting}; --fresh starts over (what is there is moved aside)"
        )


class InputChangedError(RunChangedError, InputError):
    """The rows of the input are not those that were answered."""

    def __init__(self, difference: str, *, can_be_read_again: bool = True) -> None:
        accepting = " sends these rows again and keeps the other answers"
        super().__init__(difference, accepting if can_be_read_again else f", and with the input in a file,{accepting}")


class OutputChangedError(RunChangedError):
    """The output is not what the run had written: edited, shorter or gone."""


class SinkError(HeadraceError):
    """The output cannot be written. name: that output; cause: the system's error."""

    def __init__(self, name: str, cause: OSError) -> None:
        self.name = name
        self.cause = cause
        advice = SINK_ADVICE.get(cause.errno or 0)
        super().__init__(f"{name}: writing failed: {cause.strerror or cause}{f'; {advice}' if advice else ''}")


class JournalError(HeadraceError):
    """The journal can be neither read nor written. path: that file."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: the journal {problem}")


class JournalDamagedError(JournalError):
    """The journal is not what was written: a bad disk, or somebody's hand."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(path, f"{problem}; --accept-changes goes on from what is still whole, --fresh moves it aside and starts over")


class CacheError(HeadraceError):
    """The cache of answers can be neither read nor written; a run turns it into RunAborted. path: None for a temporary file."""

    def __init__(self, path: Path | None, problem: str) -> None:
        self.path = path
        where = "a temporary file (SQLITE_TMPDIR names another place)" if path is None else str(path)
        super().__init__(f"{where}: cannot use the cache of answers: {problem}")


class JournalGoneError(JournalError):
    """Somebody has deleted or replaced the journal while the run wrote to it. What it held is in its place again, or beside it."""


class RunStopped(HeadraceError):  # noqa: N818  a run that was stopped is not an error of the program
    """A run that ended before its input did.

    summary: what was done until then. outcomes: what `run_batch` had collected, empty elsewhere.
    """

    def __init__(self, reason: str, summary: Summary | None = None) -> None:
        self.reason = reason
        self.summary = summary
        self.outcomes: tuple[Outcome, ...] = ()
        super().__init__(reason)


class RunAborted(RunStopped):
    """Going on is pointless or impossible: credentials refused, quota exhausted, disk full."""


class RunInterrupted(RunStopped):
    """Somebody asked the run to stop, and it did so in good order."""

"""Journals on a disk of their own machine, for run directories that several machines use: a network disk keeps no SQLite journal.

A shard may go from one machine to another and come back. Then the journal that the first one has kept is older than the part, and must
not be continued. So each journal has an owner, a random text that stands beside it and in the run directory. Where the two differ, the
journal is removed, and the part counts as far as its lines are whole. Call this with the shard's lock.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.durability.paths import Paths
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.engines.rundir import RunDirectory


def own_journal(directory: RunDirectory, number: int, journal: Path) -> None:
    """See that a journal, if there is one, is that of the part as it is, and that it is known whose the next one is. Raises UsageError."""
    mark = journal.with_name(f"{journal.name}.owner")
    owner = f"{directory.part(number).name}.owner"
    try:
        if journal.exists() and _text_of(mark) != _text_of(directory.path / owner):
            remove_journal(directory.part(number), journal)
        if not journal.exists():
            name = secrets.token_hex(16)
            journal.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(name)
            directory.write(owner, name.encode())
    except OSError as error:
        raise UsageError(f"{journal}: the journal cannot be created: {error.strerror or error}") from error


def remove_journal(part: Path, journal: Path) -> None:
    """Remove the journal of a part and all that lies beside it, but for the part. Raises OSError."""
    paths = Paths(part, journal)
    for path in paths.all():
        if path not in (part, paths.rebuilt):
            path.unlink(missing_ok=True)


def _text_of(path: Path) -> str | None:
    with suppress(OSError):
        return path.read_text()
    return None

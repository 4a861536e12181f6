"""Where the results of a run are: in its output, or in the parts of a run by several workers that are not collected."""

from __future__ import annotations

import os
from array import array
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.durability.paths import Paths
from pipeline.edges.store.hashes import RowHashes
from pipeline.engines.rundir import RunDirectory
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config


def run_directory(config: Config) -> RunDirectory | None:
    """The run directory of a config, if a run by several workers has begun, and none by one process since."""
    directory = RunDirectory.of(config)
    return directory if directory.exists and not Paths.of(config.sink.path, config.journal.path).journal.exists() else None


def result_files(config: Config) -> list[Path]:
    """The files that hold a run's results, in the order of the input; only those that are there.

    The parts count, unless all of them are whole and an output was made of them.
    """
    output = Path(config.sink.path)
    directory = run_directory(config)
    if directory is None:
        return [output] if os.path.lexists(output) else []
    manifest = directory.manifest()
    if manifest.collected and output.exists() and all(directory.done(shard.number) for shard in manifest.plan.shards):
        return [output]
    return [part for shard in manifest.plan.shards if (part := directory.part(shard.number)).exists()]


def row_hashes(config: Config) -> array[int]:
    """The hashes of the rows that were answered; none where they are not known. Raises JournalError."""
    directory = run_directory(config)
    if directory is None:
        return _hashes_in(Paths.of(config.sink.path, config.journal.path).hashes)
    entries: array[int] = array("I")
    for shard in directory.manifest().plan.shards:
        journal = directory.journal(shard.number)
        own = _hashes_in(journal.with_name(journal.name + ".rows"))[: shard.rows]
        entries.extend(own)
        entries.extend([0] * (shard.rows - len(own)))
    return entries


def _hashes_in(path: Path) -> array[int]:
    if not path.exists():
        return array("I")
    with closing(RowHashes.open(path)) as hashes:
        return hashes.read_all()


@contextmanager
def result_lines(config: Config) -> Iterator[Iterator[bytes]]:
    """The lines of all of them, one by one. Raises InputError where there are none, or one cannot be read."""
    files = result_files(config)
    if not files:
        raise InputError(f"{config.sink.path}: there is no output yet; `headrace run` makes it")
    try:
        yield (line for path in files for line in _lines_of(path))
    except OSError as error:
        raise InputError(f"{error.filename or files[0]}: {error.strerror or error}") from error


def _lines_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file

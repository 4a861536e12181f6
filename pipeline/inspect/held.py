"""Compares the files of an output, byte by byte, with what the run says that it has written."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.durability.paths import Paths
from pipeline.edges.store.journal_reading import peek
from pipeline.errors import JournalError
from pipeline.inspect.results import result_files, run_directory

if TYPE_CHECKING:
    from hashlib import _Hash as HASH

    from pipeline.config import Config
    from pipeline.engines.rundir import RunDirectory

HASH_BYTES = 1 << 20  # read at once


@define
class Held:
    """What came of it. edited: problems, told. waiting: results that are in a journal and not in the output. whole: of all files."""

    edited: list[str] = field(factory=list)
    waiting: int = 0
    whole: HASH = field(factory=sha256)

    def compare(self, path: Path, size: int, digest: str, what: str) -> None:
        """Read a file to its end. size, digest: of what the run wrote; "" where that is not known. what: the file, for people."""
        begin, length = sha256(), 0
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(HASH_BYTES), b""):
                begin.update(piece[: max(0, size - length)])
                self.whole.update(piece)
                length += len(piece)
        if length < size:
            self.edited.append(f"{what} has {length:,} bytes, but its journal says that {size:,} were written")
        elif digest and begin.hexdigest() != digest:
            self.edited.append(f"{what} was edited: its first {size:,} bytes are not those that the run has written")


def hold_files(config: Config) -> Held:
    """Compare the output of a config, or its parts, with the journals."""
    held = Held()
    directory = run_directory(config)
    if directory is None:
        paths = Paths.of(config.sink.path, config.journal.path)
        known = peek(paths.journal) if paths.journal.exists() else None
        size, digest = (0, "") if known is None else (known[0].bytes, known[0].digest)
        held.compare(paths.output, size, digest, "the output")
        held.waiting = 0 if known is None else known[2]
    elif result_files(config) == [output := Path(config.sink.path)]:
        held.compare(output, output.stat().st_size, directory.manifest().collected, "the output")
    else:
        _hold_parts(directory, held)
    return held


def _hold_parts(directory: RunDirectory, held: Held) -> None:
    for shard in directory.manifest().plan.shards:
        part, journal = directory.part(shard.number), directory.journal(shard.number)
        if not part.exists():
            continue
        done = directory.done(shard.number)
        size, digest = (0, "") if done is None else (done.bytes, done.digest)
        if done is None and journal.exists():
            try:
                state, _, waiting = peek(journal)
            except JournalError:
                continue  # a worker begins it just now
            size, digest = state.bytes, state.digest
            held.waiting += waiting
        held.compare(part, size, digest, f"shard {shard.number}")

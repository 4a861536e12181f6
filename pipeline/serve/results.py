"""Makes the two files of a batch that has ended out of what its run has written. May be cut off at any point and done again.

Both files are complete and on the disk before the catalog names them; until then they have no entry, and the next start removes them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from attrs import frozen

from pipeline.core.batches.records import StoredFile
from pipeline.core.batches.results import Split
from pipeline.edges.store.files import MODE
from pipeline.errors import JournalError
from pipeline.serve.folder import new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.batches.records import Batch
    from pipeline.serve.folder import DataFolder

PURPOSE = "batch_output"
BUFFER_BYTES = 1 << 20


@frozen
class Results:
    """A batch's files, None where there would be no line, and what was counted on the way."""

    output: StoredFile | None
    error: StoredFile | None
    split: Split

    @property
    def files(self) -> list[StoredFile]:
        """Those that there are."""
        return [file for file in (self.output, self.error) if file is not None]


def write_results(folder: DataFolder, batch: Batch, written: Path, now: int, breathe: Callable[[], None]) -> Results:
    """Write a batch's files. written: what its run has written. breathe: called now and then. Blocks.

    Raises JournalError if a row has no result, OSError.
    """
    split = Split(batch.id)
    with ExitStack() as opened:
        lines = opened.enter_context(written.open("rb", BUFFER_BYTES))
        output, error = (_Making(folder, opened, name) for name in ("output", "error"))
        for number, line in enumerate(lines):
            succeeded, text = split.take(line)
            (output if succeeded else error).put(text)
            if not number % 256:
                breathe()
        lines_found = split.completed + split.failed + split.dropped
        if lines_found != batch.total:
            raise JournalError(written, f"is not whole: there are {lines_found:,} results of {batch.total:,} rows")
        expires_at = None if batch.output_seconds is None else now + batch.output_seconds
        files = [making.finish(batch, now, expires_at) for making in (output, error)]
    return Results(files[0], files[1], split)


class _Making:
    """A file in the making. It has no place on the disk before its first line."""

    def __init__(self, folder: DataFolder, opened: ExitStack, name: str) -> None:
        self._folder = folder
        self._opened = opened
        self._name = name
        self._path = folder.incoming()
        opened.callback(self._path.unlink, missing_ok=True)  # unless it has its name by then
        self._file: BinaryIO | None = None
        self._size = 0

    def put(self, line: bytes) -> None:
        """Append a line."""
        if self._file is None:
            self._file = self._opened.enter_context(self._path.open("xb", BUFFER_BYTES))
            self._path.chmod(MODE)
        self._file.write(line)
        self._size += len(line)

    def finish(self, batch: Batch, now: int, expires_at: int | None) -> StoredFile | None:
        """The file, complete and under its name; None if it would be empty."""
        if self._file is None:
            return None
        self._file.close()
        file = StoredFile(new_id("file-"), self._size, now, f"{batch.id}_{self._name}.jsonl", PURPOSE, expires_at)
        self._folder.take_in(self._path, file.id)
        return file

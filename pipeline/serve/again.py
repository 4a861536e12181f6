"""Makes a new batch of the rows of an old one that failed. Blocks; memory stays the same at any length."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pipeline.core.batches.asked import NewBatch
from pipeline.core.batches.errors import ApiError, no_file
from pipeline.core.output.read_lines import read_output_id
from pipeline.core.rows.lines import JsonLines
from pipeline.core.rows.names import name_of
from pipeline.edges.sources.file import FileSource
from pipeline.serve.desk import INPUT_PURPOSE, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.core.batches.records import Batch
    from pipeline.serve.desk import Desk

TAKE_ROWS = 1000


def run_failed_again(desk: Desk, name: str) -> Batch:
    """A new batch of the rows that stand in the error file of a batch that has ended. Raises ApiError, OSError, HeadraceError."""
    batch = desk.batch(name)
    if batch.error_file_id is None or not batch.status.is_final:
        raise ApiError(409, f"No row of a batch with status '{batch.status.value}' can be run again: it has no error file.")
    source, failed = desk.file(batch.input_file_id), desk.file(batch.error_file_id)
    folder = desk.folder
    place = folder.incoming()
    size = 0
    try:
        with place.open("xb") as made:
            for line in _failed_lines(folder.file(source.id), folder.file(failed.id), source.id):
                size += made.write(line + b"\n")
        file = desk.add_file(place, size, f"again_{source.filename}", INPUT_PURPOSE, None)
    finally:
        place.unlink(missing_ok=True)
    window = batch.completion_window
    life = 86_400 if batch.expires_at is None else batch.expires_at - batch.created_at
    asked = NewBatch(file.id, batch.endpoint, window, life, batch.metadata, batch.output_seconds)
    made_batch, _ = desk.create(asked, digest_of(file.id.encode()), None, marked=False)
    return made_batch


def _failed_lines(source: Path, failed: Path, name: str) -> Iterator[bytes]:
    """The lines of the input whose rows failed. Both files are in the same order, so each is read once."""
    try:
        errors = failed.open("rb")
        opened = FileSource(name, io.FileIO(source), ".jsonl", JsonLines())
    except FileNotFoundError:
        raise no_file(name) from None
    with errors, opened as rows:
        wanted = next(map(read_output_id, errors), None)
        while wanted is not None and (taken := rows.take(TAKE_ROWS)):
            for row in taken:
                if wanted is not None and isinstance(row.data, bytes) and name_of(row.data, "custom_id") == wanted:
                    yield row.data
                    wanted = next(map(read_output_id, errors), None)

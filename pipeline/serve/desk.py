"""What clients ask for, apart from the sending: files and batches are made, found, cancelled and deleted here.

Whatever a call returns is on the disk. A batch is only noted: `Engine` is told and does the rest.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec
from attrs import define

from pipeline.core.batches.errors import ApiError, no_batch, no_file
from pipeline.core.batches.records import Batch, Status, StoredFile
from pipeline.edges.store.catalog import OtherRequestError, UnknownCursorError
from pipeline.serve.folder import new_id

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.core.batches.asked import NewBatch, Paging
    from pipeline.serve.folder import DataFolder

INPUT_PURPOSE = "batch"


@define(eq=False)
class Desk:
    """The calls. All of them block and belong in a thread; each raises ApiError for what cannot be done."""

    folder: DataFolder

    # ---- files ---------------------------------------------------------------------------------------------------

    def add_file(self, incoming: Path, size: int, filename: str, purpose: str, life: int | None) -> StoredFile:
        """Take in an upload that is complete. Raises OSError."""
        now = int(time.time())
        file = StoredFile(new_id("file-"), size, now, filename, purpose, None if life is None else now + life)
        self.folder.take_in(incoming, file.id)
        self.folder.catalog.add_file(file)
        return file

    def file(self, name: str) -> StoredFile:
        """A file that is there."""
        file = self.folder.catalog.file(name, time.time())
        if file is None:
            raise no_file(name)
        return file

    def files(self, paging: Paging, purpose: str | None) -> tuple[list[StoredFile], bool]:
        """A page of files, and whether there are more."""
        try:
            return self.folder.catalog.files(paging, purpose, time.time())
        except UnknownCursorError:
            raise no_file(paging.after or "", param="after", status=400) from None

    def delete_file(self, name: str) -> None:
        """Delete a file. A batch that reads it goes on: it has a link of its own."""
        self.file(name)
        self.folder.catalog.drop_file(name)
        self.folder.remove_file(name)

    def drop_outlived(self) -> None:
        """Delete the files whose time is over."""
        for name in self.folder.catalog.outlived(time.time()):
            self.folder.catalog.drop_file(name)
            self.folder.remove_file(name)

    # ---- batches -------------------------------------------------------------------------------------------------

    def create(self, asked: NewBatch, digest: bytes, key: str | None, *, marked: bool) -> tuple[Batch, bool]:
        """Note a new batch, and that it is new; or give the one that an earlier send of the same request has made.

        digest, key, marked: as `Catalog.add_batch` takes them.
        """
        catalog, now = self.folder.catalog, time.time()
        file = catalog.file(asked.input_file_id, now)
        if file is None:
            raise no_file(asked.input_file_id, param="input_file_id")
        if file.purpose != INPUT_PURPOSE:
            raise ApiError(400, f"The file's purpose is '{file.purpose}', and must be '{INPUT_PURPOSE}'.", param="input_file_id")
        batch = Batch(
            new_id("batch_"),
            int(now),
            asked.endpoint,
            file.id,
            asked.completion_window,
            input_name=file.filename,
            metadata=asked.metadata,
            expires_at=int(now) + asked.window_seconds,
            output_seconds=asked.output_seconds,
        )
        try:
            self.folder.begin_batch(batch.id, file.id)
        except FileNotFoundError:
            raise no_file(asked.input_file_id, param="input_file_id") from None
        try:
            made, is_new = catalog.add_batch(batch, digest, key, now, marked=marked)
        except OtherRequestError:
            self.folder.end_batch(batch.id)
            raise ApiError(409, "This Idempotency-Key came with another request before.", code="idempotency_key_reused") from None
        if not is_new:
            self.folder.end_batch(batch.id)
        return made, is_new

    def batch(self, name: str) -> Batch:
        """A batch."""
        batch = self.folder.catalog.batch(name)
        if batch is None:
            raise no_batch(name)
        return batch

    def batches(self, paging: Paging) -> tuple[list[Batch], bool]:
        """A page of batches, the newest first, and whether there are more."""
        try:
            return self.folder.catalog.batches(paging)
        except UnknownCursorError:
            raise ApiError(400, f"No batch found with id '{(paging.after or '')[:100]}'.", param="after") from None

    def cancel(self, name: str, counts: tuple[int, int] | None) -> Batch:
        """Note that a batch is to be cancelled. counts: completed and failed rows, if it is being worked on."""

        def how(was: Batch) -> Batch | None:
            if was.status in (Status.CANCELLING, Status.CANCELLED):
                return None
            if was.status.is_final or was.status is Status.FINALIZING:
                raise ApiError(409, f"Cannot cancel a batch with status '{was.status.value}'.")
            completed, failed = counts or (was.completed, was.failed)
            now = int(time.time())
            return msgspec.structs.replace(was, status=Status.CANCELLING, cancelling_at=now, completed=completed, failed=failed)

        batch = self.folder.catalog.change(name, how)
        if batch is None:
            raise no_batch(name)
        return batch


def digest_of(data: bytes) -> bytes:
    """What a request's body is recognised by when it comes again."""
    return hashlib.sha256(data).digest()

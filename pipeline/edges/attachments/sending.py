"""A sender that puts files into requests when they leave, so that only requests in flight hold their content."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import define
from msgspec.structs import replace

from pipeline.core.rows.attached import filled
from pipeline.edges.attachments.folder import FileProblemError, Folder
from pipeline.light import InTask, ask_before, attempts_of, in_task
from pipeline.records import Answer, FailureKind, Fault, FaultCause

if TYPE_CHECKING:
    from pipeline.ports import Departure, OpenSender, Sender
    from pipeline.records import Job


def sending_files(open_sender: OpenSender, folder: Folder) -> OpenSender:
    """Senders that read the files of a request out of a folder."""
    return lambda: FileSender(open_sender(), folder)


@define(eq=False)
class FileSender:
    """A `Sender` over another one. A file that has changed since its row was read fails the row, and nothing is sent."""

    sender: Sender
    folder: Folder
    _departure: Departure | None = None

    def ask_before(self, departure: Departure) -> None:
        """See `AskingSender`."""
        self._departure = departure
        ask_before(self.sender, departure)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """See `Sender`."""
        return await in_task(self.attempt(job, client_request_id))

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        """See `LightSender`. The files are read in a thread, which may be left behind where a disk does not answer."""
        if job.files:
            if self._departure is not None:
                self._departure.delays()
            try:
                body = await InTask(partial(trio.to_thread.run_sync, partial(filled, job, self.folder.read), abandon_on_cancel=True))
            except FileProblemError as problem:
                return Fault(FailureKind.INVALID_ROW, f"the row {problem}", maybe_sent=False, cause=FaultCause.FILE, permanent=True)
            job = replace(job, body=body, files=())
            del body
        return await attempts_of(self.sender)(job, client_request_id)

    def release(self) -> None:
        """See `Sender`."""
        self.sender.release()

    def close(self) -> None:
        """See `Sender`."""
        self.sender.close()

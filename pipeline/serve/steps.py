"""The steps of a batch apart from the sending: validated before its first row, finished after its last, expired in between.

Each step may be cut off at any point and is done again by the next process. What the disk refuses is told, and tried again later.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio
from attrs import define, field

from pipeline.core.batches.records import Batch, Status
from pipeline.errors import HeadraceError
from pipeline.records import FailureKind
from pipeline.serve.results import write_results
from pipeline.serve.validating import validate

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.serve.desk import Desk
    from pipeline.serve.engine import Engine
    from pipeline.serve.results import Results
    from pipeline.serve.running import Running
    from pipeline.serve.validating import Validated

AT_ONCE = 3  # files that are validated, and results that are written, at the same time
SHORT_BYTES = 4_000_000  # of a file that waits for no long one
SHORT_AT_ONCE = 4
AGAIN_SECONDS = 20.0  # after the disk has refused something
HOUSE_SECONDS = 2.0
BREATH_SECONDS = 0.000_2  # the event loop goes first


@define(eq=False)
class Steps:
    """Moves batches on. expires: batches end at their `expires_at`."""

    desk: Desk
    engine: Engine
    expires: bool = False
    _nursery: trio.Nursery = field(init=False)
    _limiter: trio.CapacityLimiter = field(init=False)
    _short: trio.CapacityLimiter = field(init=False)
    _called_off: set[str] = field(factory=set, init=False)  # batches that were cancelled before they were validated

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up what an earlier process has left, and move batches on until cancelled."""
        self._limiter, self._short = trio.CapacityLimiter(AT_ONCE), trio.CapacityLimiter(SHORT_AT_ONCE)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for batch in await trio.to_thread.run_sync(self.desk.folder.catalog.unfinished):
                self._take_up(batch)
            nursery.start_soon(self._finish_written)
            nursery.start_soon(self._keep_house)
            task_status.started()

    def _take_up(self, batch: Batch) -> None:
        if batch.status is Status.FINALIZING:
            self._nursery.start_soon(self._finalize, batch)
        elif batch.in_progress_at is None:
            if batch.status is Status.CANCELLING:
                self._called_off.add(batch.id)
            self._nursery.start_soon(self._validate, batch)

    # ---- before the first row ------------------------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """A new batch has been noted."""
        self._nursery.start_soon(self._validate, batch)

    def cancel(self, batch: Batch) -> None:
        """A batch has been noted to be cancelled."""
        if batch.in_progress_at is None:
            self._called_off.add(batch.id)
        self.engine.end_batch(batch.id, FailureKind.CANCELLED)

    async def _validate(self, batch: Batch) -> None:
        path = self.desk.folder.batch(batch.id) / "input.jsonl"
        found = None
        while batch.id not in self._called_off and found is None:
            look = partial(validate, path, batch.endpoint, lambda: self._goes_on(batch.id))
            try:
                found = await trio.to_thread.run_sync(look, limiter=self._limiter_for(path))
            except (HeadraceError, OSError) as error:
                await self._later(batch.id, error)
        await self._change(batch.id, partial(_after_validation, found=found))
        ended = await trio.to_thread.run_sync(self.desk.batch, batch.id)
        if ended.status.is_final:
            await trio.to_thread.run_sync(self.desk.folder.end_batch, batch.id)
        self.engine.begin_again()  # what has stopped the work may have been another batch's rows

    def _limiter_for(self, path: Path) -> trio.CapacityLimiter:
        return self._short if path.stat().st_size <= SHORT_BYTES else self._limiter

    def _goes_on(self, name: str) -> bool:
        _breathe()
        return name not in self._called_off

    # ---- after the last ------------------------------------------------------------------------------------------

    async def _finish_written(self) -> None:
        async for running in self.engine.to_finish:
            self._nursery.start_soon(self._finish, running)

    async def _finish(self, running: Running) -> None:
        cost = None if running.ledger.price is None else running.ledger.cost / 1e12
        try:
            await running.finish()
        except HeadraceError as error:  # its journal can be opened again, and says that all is written
            await self._later(running.batch.id, error)
            self.engine.finishing.pop(running.batch.id)
            self.engine.call()
            return
        batch = await self._change(running.batch.id, partial(_before_finalizing, cost=cost))
        await self._finalize(batch)

    async def _finalize(self, batch: Batch) -> None:
        folder = self.desk.folder
        written = folder.batch(batch.id) / "results.jsonl"
        while True:
            now = int(time.time())
            try:
                write = partial(write_results, folder, batch, written, now, _breathe)
                results = await trio.to_thread.run_sync(write, limiter=self._limiter_for(written))
                finished = partial(_finished, results=results, now=now)
                await trio.to_thread.run_sync(folder.catalog.change, batch.id, finished, results.files)
                break
            except (HeadraceError, OSError) as error:
                await self._later(batch.id, error)
        self.engine.troubles.pop(batch.id, None)
        self.engine.finishing.pop(batch.id, None)
        await trio.to_thread.run_sync(folder.end_batch, batch.id)

    # ---- meanwhile -----------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Delete files and end batches whose time is over."""
        while True:
            try:
                await trio.to_thread.run_sync(self.desk.drop_outlived)
                for batch in await trio.to_thread.run_sync(self.desk.folder.catalog.unfinished) if self.expires else ():
                    await self._expire_if_due(batch)
            except HeadraceError:
                pass  # the catalog cannot be written; whoever wants something from it is told
            await trio.sleep(HOUSE_SECONDS)

    async def _expire_if_due(self, batch: Batch) -> None:
        if batch.status is Status.IN_PROGRESS and batch.expires_at is not None and batch.expires_at <= time.time():
            await trio.to_thread.run_sync(self.desk.folder.catalog.change, batch.id, _to_expire)
            self.engine.end_batch(batch.id, FailureKind.EXPIRED)

    async def _change(self, name: str, how: partial[Batch | None]) -> Batch:
        """Change a batch, and try again for as long as the disk refuses."""
        while True:
            try:
                batch = await trio.to_thread.run_sync(self.desk.folder.catalog.change, name, how)
            except HeadraceError as error:
                await self._later(name, error)
            else:
                assert batch is not None  # batches are never deleted
                self.engine.troubles.pop(name, None)
                return batch

    async def _later(self, name: str, error: Exception) -> None:
        self.engine.troubles[name] = str(error)
        await trio.sleep(AGAIN_SECONDS)


def _breathe() -> None:
    """Let the event loop go first, and end if the server stops. Called in a thread."""
    time.sleep(BREATH_SECONDS)
    trio.from_thread.check_cancelled()


def _after_validation(was: Batch, found: Validated | None) -> Batch | None:
    now = int(time.time())
    if was.status is Status.CANCELLING:
        return msgspec.structs.replace(was, status=Status.CANCELLED, cancelled_at=now)
    if found is None:
        return None
    if found.errors:
        return msgspec.structs.replace(was, status=Status.FAILED, failed_at=now, errors=found.errors)
    return msgspec.structs.replace(was, status=Status.IN_PROGRESS, in_progress_at=now, total=found.rows, model=found.model)


def _before_finalizing(was: Batch, cost: float | None) -> Batch | None:
    if was.status is not Status.IN_PROGRESS or was.ends_as is not Status.COMPLETED:
        return msgspec.structs.replace(was, cost=cost)
    return msgspec.structs.replace(was, status=Status.FINALIZING, finalizing_at=int(time.time()), cost=cost)


def _finished(was: Batch, results: Results, now: int) -> Batch | None:
    if was.status is Status.CANCELLING:
        status, name = Status.CANCELLED, "cancelled_at"
    elif was.ends_as is Status.EXPIRED:
        status, name = Status.EXPIRED, "expired_at"
    else:
        status, name = Status.COMPLETED, "completed_at"
    split = results.split
    return msgspec.structs.replace(
        was,
        status=status,
        completed=split.completed,
        failed=split.failed,
        failures=split.failures,
        usage=split.usage,
        output_file_id=None if results.output is None else results.output.id,
        error_file_id=None if results.error is None else results.error.id,
        **{name: now},
    )


def _to_expire(was: Batch) -> Batch | None:
    return msgspec.structs.replace(was, ends_as=Status.EXPIRED) if was.status is Status.IN_PROGRESS else None

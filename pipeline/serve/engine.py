"""Works on all batches: one flow with one gate for all of them, begun again whenever it has ended for a reason that may pass.

Theory of operation. A session is one flow (`stages/flow.py`) over `SharedRuns`. It has no end of its own: it waits for rows while
there are none. It ends when the server stops; when the provider forbids going on (a refused key, an empty account, nothing that has worked
for `retry.patience_seconds`); when the disk takes no more; or when it is told to, because a cancelled batch has rows that wait in
the gate while nothing is in flight. Then all open batches are closed as a run that was stopped, nothing is lost, and the next session
opens them where they were left: at once if it was told to, else after a pause that doubles.

Each batch goes through `Steps` beside that: validated before its first row, and finished after its last.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import msgspec
import trio
from attrs import define, field

from pipeline.core.answers.secrets import Secrets
from pipeline.core.batches.records import Batch, Status
from pipeline.core.pacing.findings import Learned
from pipeline.errors import CacheError, HeadraceError, JournalError, SinkError
from pipeline.messages import Spent
from pipeline.runs.accounts import accounts_of
from pipeline.runs.assembly import flow_settings, reuse_of
from pipeline.runs.course import Course
from pipeline.runs.inputs import source_opener
from pipeline.runs.leasing import leases_of
from pipeline.serve.running import config_of, ending_of, open_running
from pipeline.serve.sharing import SharedRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config import Config
    from pipeline.core.pacing.account import Accounts
    from pipeline.ports import Observer, OpenSender, Reuse
    from pipeline.records import FailureKind
    from pipeline.serve.folder import DataFolder
    from pipeline.serve.running import Running
    from pipeline.stages.flow import FlowSettings

FIRST_PAUSE, LONGEST_PAUSE = 15.0, 240.0  # seconds between two sessions, while what ended the first has not passed
AGAIN_SECONDS = 20.0  # until a batch is tried again that the disk would not let open
MOST_OPEN = 48  # batches at once; each holds about ten files open
MOST_SMALL = 16  # more of them, if they are small
SMALL_ROWS = 2000
LOOK_SECONDS = 1.0
SAVE_SECONDS = 2.0
_learned = msgspec.json.Decoder(dict[str, Learned]).decode
_spent = msgspec.json.Decoder(Spent).decode


@define(eq=False)
class Engine:
    """The work. config: what `headrace serve` was given; its source and sink are those of no batch.

    held: why nothing is sent just now, "" while something may be. running: the batches that are open, by id. finishing: those
    whose rows are all written, until they have ended. troubles: why a
    batch cannot be worked on, by id. course: of the session.
    """

    folder: DataFolder
    config: Config
    secrets: Secrets = field(factory=Secrets, repr=False)
    observers: Sequence[Observer] = ()
    held: str = field(default="", init=False)
    running: dict[str, Running] = field(factory=dict, init=False)
    finishing: dict[str, Running] = field(factory=dict, init=False)
    troubles: dict[str, str] = field(factory=dict, init=False)
    course: Course | None = field(default=None, init=False)
    settings: FlowSettings | None = field(default=None, init=False)
    written: trio.MemorySendChannel[Running] = field(init=False)  # batches whose last row was written
    to_finish: trio.MemoryReceiveChannel[Running] = field(init=False)
    _shared: SharedRuns | None = field(default=None, init=False)
    _slot: int = field(default=0, init=False)
    _call: trio.Event = field(factory=trio.Event, init=False)
    _again: trio.Event = field(factory=trio.Event, init=False)
    _accounts: Accounts | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.written, self.to_finish = trio.open_memory_channel["Running"](math.inf)

    # ---- what others say -----------------------------------------------------------------------------------------

    def call(self) -> None:
        """Look at the catalog again: a batch may begin, or is to end."""
        self._call.set()

    def begin_again(self) -> None:
        """Try again now what could not be done."""
        self.call()
        if self.held:
            self._again.set()

    def end_batch(self, name: str, why: FailureKind) -> None:
        """Send no more rows of a batch, and have the rest of them fail for this reason."""
        running = self.running.get(name)
        if running is not None and running.ending is None:
            running.ending = why
            if self._shared is not None:
                self._shared.call()
        self.begin_again()

    @property
    def reason(self) -> str:
        """Why nothing is sent just now, "" while something may be."""
        return self.held or ("" if self.course is None else self.course.tallies.gate.waits_for)

    # ---- sessions ------------------------------------------------------------------------------------------------

    async def work(self, open_senders: Sequence[OpenSender], stop: trio.Event, give_up: trio.Event) -> None:
        """Work until `stop` is set and what was in flight has ended, or `give_up` is. Closes all batches."""
        pause = FIRST_PAUSE
        while not stop.is_set():
            done_before = 0 if self.course is None else self.course.tallies.ledger.succeeded
            reason = await self._session(open_senders, stop, give_up)
            if stop.is_set() or reason is None:
                self.held = ""
                continue
            worked = self.course is not None and self.course.tallies.ledger.succeeded > 0
            pause = FIRST_PAUSE if worked or done_before else min(LONGEST_PAUSE, 2 * pause)
            self.held, self._again = reason, trio.Event()
            with trio.move_on_after(pause * random.uniform(0.8, 1.2)):  # noqa: S311  so that several servers do not come at once
                await first_of(stop, self._again)
            self.held = ""

    async def _session(self, open_senders: Sequence[OpenSender], stop: trio.Event, give_up: trio.Event) -> str | None:
        """Work until something ends it; why, or None if it was told to end."""
        restart, trouble = trio.Event(), None
        course = self.course = Course(self.config, restart)
        try:
            reuse = await trio.to_thread.run_sync(self._reuse)
            shared = self._shared = SharedRuns(self.config.limits.window or 1 << 16, self._note_written, self._note_broken)
            self.settings = self._flow(course, shared, open_senders, reuse)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_set_after, stop, restart)
                    nursery.start_soon(self._open_batches, shared, course)
                    nursery.start_soon(self._end_stuck, course, restart)
                    nursery.start_soon(self._save_now_and_then)
                    await course.follow(self.settings, give_up)
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await self._close(shared)
        except* (SinkError, JournalError, CacheError) as group:
            trouble = str(_first_leaf(group))
        if trouble is not None:
            return trouble
        if restart.is_set():
            return None
        return course.tallies.gate.stopped or course.tallies.read.problem or "the flow has ended"

    def _flow(self, course: Course, shared: SharedRuns, open_senders: Sequence[OpenSender], reuse: Reuse | None) -> FlowSettings:
        catalog, now = self.folder.catalog, trio.current_time()
        spent = catalog.recall("spent")
        self._accounts = accounts_of(self.config, Spent() if spent is None else _spent(spent), now)
        settings = flow_settings(
            self.config,
            shared.take_rows,
            shared.make_jobs,
            open_senders,
            shared,
            reuse=reuse,
            accounts=self._accounts,
            secrets=self.secrets,
            leases=leases_of(self.config),
            observers=self.observers,
            pricing=course.pricing,
        )
        learned = catalog.recall("learned")
        if learned is not None:
            settings.lanes.recall(_learned(learned), now)
        course.tallies.gate.lanes = settings.lanes.states
        return settings

    def _reuse(self) -> Reuse | None:
        return None if self.config.cache is None else reuse_of(self.config, None)

    # ---- batches come and go -------------------------------------------------------------------------------------

    async def _open_batches(self, shared: SharedRuns, course: Course) -> None:
        while True:
            self._call = trio.Event()
            for listed in await trio.to_thread.run_sync(self.folder.catalog.unfinished):
                batch = self._to_open(listed.id)
                if batch is not None:
                    await self._open(batch, shared, course)
            with trio.move_on_after(AGAIN_SECONDS if self.troubles else math.inf):
                await self._call.wait()

    def _to_open(self, name: str) -> Batch | None:
        """A batch that is to be opened now, as the catalog has it at this moment; None if it is not."""
        if name in self.running or name in self.finishing:
            return None
        batch = self.folder.catalog.batch(name)  # it may have moved on since the list was made
        if batch is None or batch.in_progress_at is None or batch.status not in (Status.IN_PROGRESS, Status.CANCELLING):
            return None
        if ending_of(batch) is not None:
            return batch  # it sends nothing, and is closed soon
        room = MOST_OPEN + MOST_SMALL if batch.total <= SMALL_ROWS else MOST_OPEN
        return batch if len(self.running) < room else None

    async def _open(self, batch: Batch, shared: SharedRuns, course: Course) -> None:
        config, self._slot = config_of(self.config, self.folder, batch), self._slot + 1
        try:
            running = await trio.to_thread.run_sync(open_running, config, batch, self._slot, ending_of(batch), source_opener(config))
        except HeadraceError as error:
            self.troubles[batch.id] = str(error)
            return
        self.troubles.pop(batch.id, None)
        self.running[batch.id] = running
        if course.pricing is not None:
            running.ledger.price = course.pricing.cost
        await shared.add(running)

    def _note_written(self, running: Running) -> None:
        name = running.batch.id
        self.running.pop(name, None)
        self.finishing[name] = running
        self.written.send_nowait(running)
        self.call()  # there is room for another

    def _note_broken(self, running: Running, reason: str) -> None:
        self.troubles[running.batch.id] = reason

    async def _end_stuck(self, course: Course, restart: trio.Event) -> None:
        """End the session when rows of a batch that is ending wait in the gate while nothing is in flight: then it costs nothing."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            stuck = [one for one in self.running.values() if one.ending is not None and one.out and one.exhausted]
            if stuck and not course.tallies.gate.in_flight:
                restart.set()

    async def _close(self, shared: SharedRuns) -> None:
        """Close the batches that are open, as a run that was stopped."""
        self._shared = None
        self._save()
        for running in list(shared.open.values()):
            name = running.batch.id
            shared.remove(running)
            try:
                await running.finish()
                counts = {"completed": running.completed, "failed": running.failed}
                await trio.to_thread.run_sync(self.folder.catalog.change, name, lambda was, new=counts: _with_counts(was, new))
            except HeadraceError as error:
                self.troubles[name] = str(error)
            self.running.pop(name, None)  # until now it says how far the batch is

    # ---- what the next process needs -----------------------------------------------------------------------------

    async def _save_now_and_then(self) -> None:
        while True:
            await trio.sleep(SAVE_SECONDS)
            await trio.to_thread.run_sync(self._save)

    def _save(self) -> None:
        """Remember what was spent and what was learned of the limits."""
        if self.settings is None:
            return
        catalog = self.folder.catalog
        learned = msgspec.json.encode(self.settings.lanes.learned())
        if learned not in (b"{}", catalog.recall("learned")):
            catalog.remember("learned", learned)
        if self._accounts is not None:
            spent = msgspec.json.encode(self._accounts.snapshot())
            if spent != catalog.recall("spent"):
                catalog.remember("spent", spent)


async def first_of(*events: trio.Event) -> None:
    """Wait until one of several events is set."""
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)


async def _set_after(first: trio.Event, then: trio.Event) -> None:
    await first.wait()
    then.set()


def _with_counts(was: Batch, counts: dict[str, int]) -> Batch | None:
    return msgspec.structs.replace(was, **counts) if was.status is Status.IN_PROGRESS else None


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

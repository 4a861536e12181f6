"""Directs a run on a Ray cluster: starts the coordinator and the workers, replaces workers that die, and waits for all.

Ray is asked from a thread, because its calls block. SIGINT reaches this process alone, which has the coordinator stop; the workers
hear of it with their next answer, drain, and end.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import trio
from attrs import define, field
from msgspec.structs import replace

from pipeline.core.bookkeeping.going import RecentRate
from pipeline.core.cluster.talk import SharedLane
from pipeline.engines.figures import attained, going_of, lanes_of, limited_by
from pipeline.engines.in_turn import progress_before
from pipeline.engines.ray.actors import coordinator_class, worker_class
from pipeline.engines.ray.coordinator import Setup, picture_of
from pipeline.engines.ray.starting import joined, take_back_signals
from pipeline.engines.ray.words import last_line, no_room
from pipeline.engines.ray.worker import Job, scratch_of
from pipeline.engines.shard import Place
from pipeline.engines.work import Ended
from pipeline.runs.lanes import leased_lane, limits_in
from pipeline.runs.names import lane_name
from pipeline.stages.gate import INTERRUPTED
from pipeline.summaries import WorkersProgress

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from pipeline.config import Config
    from pipeline.core.cluster.coordination import Picture
    from pipeline.engines.work import Work
    from pipeline.summaries import Progress

T = TypeVar("T")

TELL_SECONDS = 0.5
SAVE_SECONDS = 2.0
ROOM_SECONDS = 15.0  # for a worker to begin, before it is asked why it does not
ASK_SECONDS = 10.0  # for one answer of the coordinator
AGAIN_SECONDS = 0.5  # after one that did not come
HEARD_SECONDS = 120.0  # for the coordinator to hear what it must; Ray begins it again when its process has died
CUT_OFF_SECONDS = 5.0  # for workers to end that were told to cut off what is in flight
MOST_DEATHS = 5  # of workers one after the other, with no row done in between
CERTAINLY_DEAD = "worker process has died"  # in Ray's words; else its node was lost, and the process may still run


async def on_ray(work: Work) -> Ended:
    """Run the shards of some work by the workers of a cluster; see `Engine`. Raises UsageError where the cluster cannot be reached."""
    stack = joined(work.config.engine.ray.address)
    ray = await _in_thread(stack.__enter__)
    take_back_signals()
    try:
        return await _Driven(work, ray).run()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(stack.__exit__, None, None, None)


def shared_lanes(config: Config) -> list[SharedLane]:
    """What is shared of each lane."""
    lanes = []
    for index, provider in enumerate(config.lanes):
        limits = limits_in(config, provider)
        lanes.append(SharedLane(lane_name(config, index), leased_lane(limits).shared, limits.max_in_flight, config.retry.stop_after))
    return lanes


@define(eq=False)
class _Driven:
    """One run. running: what Ray will say when a worker ends, and its name. told: the latest progress."""

    work: Work
    ray: ModuleType
    run_id: str = field(factory=lambda: uuid.uuid4().hex[:8])
    coordinator: Any = None
    running: dict[Any, tuple[str, Any]] = field(factory=dict)
    stopped: str | None = None
    deaths: int = 0
    rows: int = -1  # the most that were done when a worker died
    began: float = field(factory=trio.current_time)
    sends: float | None = None  # clock since when attempts leave
    sent: int = 0  # attempts, when they were counted last
    sent_at: float = 0.0
    wanted: int = 0
    missing: str = ""  # why workers do not come
    picture: Picture | None = None
    before: Progress = field(init=False)
    told: Progress = field(init=False)
    job: Job = field(init=False)
    worker: Any = None
    lanes: list[SharedLane] = field(factory=list)
    _numbers: count[int] = field(factory=count)

    def __attrs_post_init__(self) -> None:
        self.before = progress_before(self.work, WorkersProgress(0, 0, len(self.work.done), len(self.work.plan.shards)))
        self.told = self.before

    async def run(self) -> Ended:
        work, settings = self.work, self.work.config.engine.ray
        shards = [shard.number for shard in work.shards]
        self.lanes = shared_lanes(work.config)
        setup = Setup(self.lanes, shards, settings.node_loss_seconds, str(work.directory.path.resolve()))
        scratch = scratch_of(settings.address, Path(tempfile.gettempdir()))
        place = Place(work.directory, work.plan, scratch)
        nodes = await _in_thread(lambda: sum(node["Alive"] for node in self.ray.nodes()))
        self.wanted = min(settings.workers or nodes, len(shards))
        self.coordinator = coordinator_class(self.ray).remote(msgspec.msgpack.encode(setup))
        self.worker = worker_class(self.ray, settings.address)
        self.job = Job(work.config, place, dict(work.limits), settings.node_loss_seconds, self.wanted)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when_told)
            nursery.start_soon(self._tell)
            nursery.start_soon(self._save)
            nursery.start_soon(self._look_for_room)
            for _ in range(self.wanted):
                self._begin_worker()
            while self.running:
                await self._wait()
            nursery.cancel_scope.cancel()
        await self._look()
        interrupted = work.stop.is_set() and self.stopped in (None, INTERRUPTED)
        learned = () if self.picture is None else self.picture.learned
        return Ended(INTERRUPTED if interrupted else self.stopped, self.told, interrupted, learned)

    # ---- workers ----------------------------------------------------------------------------------------------------

    def _begin_worker(self) -> None:
        name = f"{self.run_id}-{next(self._numbers)}"
        actor = self.worker.remote()
        self.running[actor.run.remote(self.job, self.coordinator, name)] = name, actor

    async def _wait(self) -> None:
        """Wait until a worker has ended, for a moment; begin another one if it should not have."""
        ready, _ = await _in_thread(partial(self.ray.wait, list(self.running), timeout=0.2))
        for reference in ready:
            name, _ = self.running.pop(reference)
            try:
                failed = await _in_thread(partial(self.ray.get, reference))
            except self.ray.exceptions.RayTaskError as error:  # it could not even begin
                failed = f": {last_line(error)}"
            except self.ray.exceptions.RayError as error:  # Ray has many words for a process that has ended
                await self._died(name, str(error))
                continue
            if failed:
                await self._stop(f"a worker has failed{failed}")
            await self._see_that_it_hears("leave", name)

    async def _died(self, name: str, told: str) -> None:
        rows = 0 if self.picture is None else self.picture.counts.rows  # with those of the worker that has died
        self.deaths = 1 if rows > self.rows else self.deaths + 1
        self.rows = max(rows, self.rows)
        await self._see_that_it_hears("lost", name, may_run=CERTAINLY_DEAD not in told)
        picture = await self._look() or self.picture
        if self.stopped is not None or self.work.stop.is_set():
            return
        if self.deaths > MOST_DEATHS:
            await self._stop(f"{MOST_DEATHS} workers died one after the other: {last_line(told)}")
        elif len(self.running) < self.wanted and (picture is None or picture.done < picture.shards):
            self._begin_worker()

    async def _stop_when_told(self) -> None:
        async with trio.open_nursery() as nursery:
            await self.work.stop.wait()
            nursery.start_soon(self._stop, INTERRUPTED)
            await self.work.give_up.wait()
            nursery.start_soon(partial(self._stop, INTERRUPTED, cut_off=True))
            await trio.sleep(CUT_OFF_SECONDS)
            await self._kill_all()

    async def _stop(self, reason: str, *, cut_off: bool = False) -> None:
        self.stopped = self.stopped or reason
        await self._see_that_it_hears("stop", reason, cut_off=cut_off)

    async def _kill_all(self) -> None:
        for _, actor in list(self.running.values()):
            await _in_thread(partial(self.ray.kill, actor))

    # ---- progress ---------------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await self._look()
            self.work.tell(self.told)
            await trio.sleep(TELL_SECONDS)

    async def _save(self) -> None:
        """Save what `status` shows. A directory that cannot be written to is noticed by the workers."""
        rate = RecentRate(trio.current_time(), self.told.rows_done)
        while True:
            await trio.sleep(SAVE_SECONDS)
            going = going_of(self.told, rate.note(trio.current_time(), self.told.rows_done))
            with suppress(OSError):
                await _in_thread(partial(self.work.directory.save_going, going, time.time()))

    async def _look_for_room(self) -> None:
        """Find out why workers do not come: Ray lets them wait until a node has room for them, and says nothing."""
        while True:
            await trio.sleep(ROOM_SECONDS)
            alive = 0 if self.picture is None else self.picture.workers
            if alive < len(self.running) and self.work.config.engine.ray.address != "local":
                free, whole = await _in_thread(lambda: (self.ray.available_resources(), self.ray.cluster_resources()))
                self.missing = no_room(len(self.running) - alive, self.wanted, free.get("CPU", 0.0), whole.get("CPU", 0.0))

    async def _look(self) -> Picture | None:
        """Ask the coordinator how far the run is; None if it does not say."""
        data = await self._ask("picture")
        if data is None:
            return None
        picture = self.picture = picture_of(data)
        self.stopped = self.stopped or picture.stop
        counts, before, now = picture.counts, self.before, trio.current_time()
        if counts.attempts > self.sent:
            self.sent, self.sent_at = counts.attempts, now
            self.sends = now - counts.seconds / max(1, picture.workers) if self.sends is None else self.sends
        sending = 0.0 if self.sends is None else self.sent_at - self.sends
        self.told = replace(
            before,
            rows_read=before.rows_read + counts.rows,
            rows_done=before.rows_done + counts.rows,
            rows_failed=before.rows_failed + counts.failed,
            attempts=counts.attempts,
            retries=counts.retries,
            throttled=counts.throttled,
            in_flight=counts.in_flight,
            waiting=counts.waiting,
            rows_resumed=before.rows_resumed + counts.resumed,
            elapsed_seconds=now - self.began,
            bound=counts.bound,
            waits_for=counts.waits_for,
            prompt_tokens=before.prompt_tokens + counts.prompt_tokens,
            output_tokens=before.output_tokens + counts.output_tokens,
            cost=None if before.cost is None else before.cost + counts.cost,
            failures=counts.failures,
            lanes=lanes_of(counts, [lane.name for lane in self.lanes], sending),
            limited_by=limited_by(counts),
            attained=attained(counts, sending),
            workers=WorkersProgress(
                picture.workers,
                self.wanted,
                len(self.work.done) + picture.done,
                len(self.work.plan.shards),
                picture.again,
                {name: mine.rows for name, mine in picture.by_worker.items()},
                self.missing if picture.workers < self.wanted else "",
            ),
        )
        return picture

    async def _ask(self, method: str, *args: object, **named: object) -> Any:
        """Ask the coordinator; None if it does not answer. It is begun again by Ray, and the workers wait meanwhile."""
        answers = await self._answers(method, *args, **named)
        return answers[0] if answers else None

    async def _see_that_it_hears(self, method: str, *args: object, **named: object) -> None:
        """Tell the coordinator something until it has heard it; it may hear it twice. One that never does ends the run."""
        with trio.move_on_after(HEARD_SECONDS):
            while not await self._answers(method, *args, **named):  # noqa: ASYNC110  the other side is another process
                await trio.sleep(AGAIN_SECONDS)
            return
        silent = f"the coordinator has not answered for {HEARD_SECONDS:.0f} s; look at Ray's logs, then run again"
        self.stopped = self.stopped or silent
        await self._kill_all()

    async def _answers(self, method: str, *args: object, **named: object) -> list[Any]:
        def ask() -> list[Any]:
            try:
                return [self.ray.get(getattr(self.coordinator, method).remote(*args, **named), timeout=ASK_SECONDS)]
            except (self.ray.exceptions.RayError, TimeoutError):
                return []

        return await _in_thread(ask)


async def _in_thread(do: Callable[[], T]) -> T:
    return await trio.to_thread.run_sync(do, abandon_on_cancel=True)

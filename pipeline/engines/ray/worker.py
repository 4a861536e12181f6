"""One worker: runs the shards that the coordinator gives it, one after the other, until nothing is left to do or it is told to stop.

The next shard begins when the last row of the one before was read and half of them are done: so the rows that are still in flight,
and the last commit, keep nobody waiting. No more than two go on at a time, so that no worker takes the shards of others who
have nothing to do. It knows no Ray: it is given the call that reaches the coordinator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from pipeline.core.cluster.talk import LaneCounts, ShardCounts
from pipeline.edges.store.files import BusyError
from pipeline.engines.ray.link import Link
from pipeline.engines.shard import Opened, Place, opened_providers, run_shard
from pipeline.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.config import Config
    from pipeline.engines.ray.link import Call
    from pipeline.engines.shard import ShardResult
    from pipeline.summaries import LaneProgress, Progress

BUSY_SECONDS = 1.0  # before a shard is given back that another process still works on, so that it does not go round all the time
LAST_WORDS_SECONDS = 5.0  # for saying what has ended, when the coordinator does not answer


@frozen
class Job:
    """What a worker must know.

    place: the run directory. limits: of shards of which not all rows are to be run. expiry, workers: see `Link`.
    """

    config: Config
    place: Place
    limits: Mapping[int, int]
    expiry: float
    workers: int


async def work(job: Job, call: Call, name: str) -> None:
    """Work until the run is finished or stops. Raises ConfigError.

    Cancellation: attempts in flight are lost; everything that was answered is kept.
    """
    link = Link(call, name, lanes=len(job.config.lanes), expiry=job.expiry, workers=job.workers)
    async with opened_providers(job.config) as opened:
        worker = _Worker(job, link, opened)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            await worker.work()
            nursery.cancel_scope.cancel()
    with trio.move_on_after(LAST_WORDS_SECONDS):
        await link.end()


@define(eq=False)
class _Worker:
    job: Job
    link: Link
    opened: Opened
    stop: trio.Event = field(factory=trio.Event)
    give_up: trio.Event = field(factory=trio.Event)
    reading: int = 0  # shards whose input is not at its end

    async def work(self) -> None:
        link = self.link
        async with trio.open_nursery() as shards:
            while not (link.dead or link.stop is not None or (link.finished and not link.running)):
                self._begin_shards(shards)
                wants = self._has_room()
                if wants and not link.wants:
                    link.speak()
                link.wants = wants
                await link.news.wait()
            self.stop.set()
            shards.start_soon(self._cut_off)
            while link.running:
                await link.news.wait()
            shards.cancel_scope.cancel()

    def _has_room(self) -> bool:
        """Whether another shard may begin: none runs, or the only one is read and half done. A short one is read at once."""
        running = self.link.running
        if len(running) != 1:
            return not running
        number, counts = next(iter(running.items()))
        return not self.reading and 2 * counts.rows >= self.job.place.plan.shards[number].rows

    def _begin_shards(self, shards: trio.Nursery) -> None:
        link = self.link
        for number in link.shards:
            if number not in link.running and number not in link.back and number not in link.done:
                link.running[number] = ShardCounts()
                self.reading += 1
                shards.start_soon(self._run, number)

    async def _cut_off(self) -> None:
        while not self.link.cut_off:
            await self.link.news.wait()
        self.give_up.set()

    async def _run(self, number: int) -> None:
        """Run a shard, and say how it has ended."""
        link, plan = self.link, self.job.place.plan
        read = trio.Event()
        counts = ShardCounts()

        def tell(progress: Progress) -> None:
            nonlocal counts
            counts = link.running[number] = counts_of(progress)
            if self._has_room() and not link.wants:
                link.wake()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._note_read, read)
                result: ShardResult = await run_shard(
                    self.job.config,
                    plan.shards[number],
                    self.job.place,
                    leases={lane: link.keeper(number, lane) for lane in range(len(self.job.config.lanes))},
                    events=tell,
                    stop=self.stop,
                    give_up=self.give_up,
                    input_read=read,
                    opened=self.opened,
                    limit=self.job.limits.get(number),
                )
                read.set()
            if result.done is not None or (result.stopped is None and number in self.job.limits):
                link.done[number] = counts
            else:
                link.back[number] = counts
                if not result.interrupted:
                    link.reason = result.stopped or f"shard {number} did not come to its end"
        except* BusyError:
            await trio.sleep(BUSY_SECONDS)
            link.back[number] = counts
        except* HeadraceError as group:  # of the files of this shard: what is wrong with them is so for every worker
            link.back[number] = counts
            link.reason = str(first_of(group))
        finally:
            if not read.is_set():
                self.reading -= 1
            link.running.pop(number, None)
            link.speak()
            link.wake()

    async def _note_read(self, read: trio.Event) -> None:
        await read.wait()
        self.reading -= 1
        self.link.wake()


def first_of(error: BaseException) -> BaseException:
    """The error itself, or the first one in a group, however deep."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def in_a_line(error: BaseException) -> str:
    """What an error says, for whoever reads the end of the run."""
    first = first_of(error)
    return str(first) if isinstance(first, HeadraceError) else f"{type(first).__name__}: {first}".splitlines()[0]


def counts_of(progress: Progress) -> ShardCounts:
    """What of a shard's progress is told to the others."""
    return ShardCounts(
        rows=progress.rows_done,
        failed=progress.rows_failed,
        resumed=progress.rows_resumed,
        attempts=progress.attempts,
        retries=progress.retries,
        throttled=progress.throttled,
        in_flight=progress.in_flight,
        waiting=progress.waiting,
        prompt_tokens=progress.prompt_tokens,
        output_tokens=progress.output_tokens,
        cost=progress.cost or 0.0,
        bound=progress.bound,
        waits_for=progress.waits_for,
        seconds=progress.elapsed_seconds,
        held=_seconds_of(progress.limited_by, progress.elapsed_seconds),
        lanes=[_lane_counts(lane, progress.elapsed_seconds) for lane in progress.lanes],
        failures=dict(progress.failures),
    )


def _lane_counts(lane: LaneProgress, seconds: float) -> LaneCounts:
    return LaneCounts(
        lane.attempts,
        lane.succeeded,
        lane.throttled,
        lane.in_flight,
        _seconds_of(lane.limited_by, seconds),
        lane.bound,
        lane.allowed,
        lane.pace,
        lane.out_seconds,
        lane.out,
    )


def _seconds_of(shares: Mapping[str, float], whole: float) -> dict[str, float]:
    return {cause: round(share * whole, 3) for cause, share in shares.items()}


def scratch_of(address: str, folder: Path) -> Path | None:
    """Where the journals of a run lie that several machines may do: in a folder of the machine, because a network disk keeps no journal."""
    return None if address == "local" else folder / "headrace"

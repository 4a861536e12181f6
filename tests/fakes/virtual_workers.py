"""Several workers of one run on virtual time: real stages, the real coordinator as a plain object, and one embedded provider."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.cluster.coordination import CoordinatorCore
from pipeline.core.cluster.linked_lane import LinkedLane
from pipeline.core.cluster.talk import Poll, SharedLane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.pacing.leased import LeasedLane
from pipeline.core.rows.lines import RawRow
from pipeline.records import Job
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from pipeline.stages.pass_through import PassThrough
from tests.fakes.simulated_run import SimulatedRun
from tests.fakes.virtual_run import _FakeSender

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.ports import AskLane
    from pipeline.records import Failure, Outcome

PARK_SECONDS, LOOK_SECONDS, EXPIRY_SECONDS = 0.25, 0.05, 3.0
_numbers = count()  # of messages


@define
class VirtualWorkers(SimulatedRun):
    """A plan's rows, cut into shards that `count` workers run one after the other; one shard for each worker if `shard_rows` is None.

    overlap: a worker begins its next shard when half of the present one is done, as real ones do, and not when all of it is.
    late_seconds: after which the last worker comes. stopped: why each worker has stopped, None if it did not.
    """

    count: int = 2
    shard_rows: int | None = None
    overlap: bool = False
    late_seconds: float = 0.0
    core: CoordinatorCore = field(init=False)
    stopped: list[str | None] = field(factory=list)
    _left: Iterator[int] = field(init=False)
    _lanes: dict[int, Lanes] = field(factory=dict)  # of each worker's latest shard

    async def _main(self) -> None:
        plan = self.plan
        limits = LeasedLane([], slots=plan.workers)
        shared = SharedLane("", limits.shared, plan.workers, plan.stop_after)
        self.core = CoordinatorCore([shared], [], expiry=EXPIRY_SECONDS, now=trio.current_time())
        self.stopped = [None] * self.count
        self._left = iter(range(0, len(plan.rows), self._rows_of_a_shard))
        self.started = trio.current_time()
        with trio.fail_after(100_000):
            async with trio.open_nursery() as nursery:
                for number in range(self.count):
                    nursery.start_soon(self._work, number)
        self.ended = trio.current_time()

    @property
    def _rows_of_a_shard(self) -> int:
        return self.shard_rows or len(self.plan.rows) // self.count

    async def _work(self, number: int) -> None:
        if number == self.count - 1:
            await trio.sleep(self.late_seconds)
        ended = trio.Event()
        ended.set()
        async with trio.open_nursery() as shards:
            for base in self._left:
                if self.core.stopped is not None:
                    return
                before, ended, half = ended, trio.Event(), trio.Event()
                shards.start_soon(self._work_at, number, base, half, ended)
                await before.wait()
                await (half if self.overlap else ended).wait()

    async def _work_at(self, number: int, base: int, half: trio.Event, ended: trio.Event) -> None:
        self.stopped[number] = await self._run_shard(number, base, half)
        self.core.stop(self.stopped[number])
        half.set()
        ended.set()

    async def _run_shard(self, number: int, base: int, half: trio.Event) -> str | None:
        plan, rows, worker = self.plan, self._rows_of_a_shard, f"w{number}"
        written = 0

        async def emit(outcomes: list[Outcome]) -> None:
            nonlocal written
            await self._emit(outcomes)
            written += len(outcomes)
            if 2 * written >= rows:
                half.set()

        policy = RetryPolicy(plan.attempts, 0.5, 4.0, plan.patience_seconds)
        state = LaneState(LeasedLane([], slots=plan.workers, learn=plan.learn), plan.workers, policy=policy)
        lanes = Lanes([state])
        if number in self._lanes:
            lanes.go_on_from(self._lanes[number])
        self._lanes[number] = lanes
        read = 0

        async def take_rows(most: int) -> list[RawRow]:
            nonlocal read
            await trio.lowlevel.checkpoint()
            taken = [RawRow(line=at + 1, offset=at, data=b"") for at in range(read, min(rows, read + most, read + plan.slice_rows))]
            read += len(taken)
            return taken

        def make_jobs(raw: list[RawRow], first: int) -> Sequence[Job | Failure]:
            return [Job(at, f"id-{base + at}", "POST", "/v1/x", b"{}", 1, at + 1) for at in range(first, first + len(raw))]

        settings = FlowSettings(
            take_rows=take_rows,
            make_jobs=make_jobs,
            lanes=lanes,
            fetch=FetchSettings(
                (self._open_sender,), policy, draw=lambda: 0.5, utc=self.utc, name_attempt=lambda index, attempt: f"{index}-{attempt}"
            ),
            store=PassThrough(emit),
            window=plan.window,
            leases={state: _Keeper(self.core, worker, f"{worker}/{base}")},
        )
        tallies, stop = Tallies(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_with_the_others, stop)
            await run_flow(settings, tallies, stop)
            nursery.cancel_scope.cancel()
        return tallies.gate.stopped

    def _open_sender(self) -> _FakeSender:
        return _FakeSender(self)

    async def _stop_with_the_others(self, stop: trio.Event) -> None:
        """A worker hears that the run stops with its next answer."""
        while self.core.stopped is None:  # noqa: ASYNC110  as its keeper asks
            await trio.sleep(PARK_SECONDS)
        stop.set()

    async def _emit(self, outcomes: list[Outcome]) -> None:
        await trio.lowlevel.checkpoint()
        self.written.extend(outcomes)


@define(eq=False)
class _Keeper:
    """A `LaneKeeper` whose messages take no time."""

    core: CoordinatorCore
    worker: str
    name: str

    async def keep(self, lane: LaneState, ask: AskLane) -> None:
        linked = LinkedLane(lane)
        try:
            while True:
                begun, report = await ask(linked.report)
                self.core.take(Poll(self.worker, {self.name: [report]}, number=next(_numbers)), begun)
                told = self.core.answer(self.worker, begun)
                await ask(partial(linked.hear, told.lanes[self.name][0], begun + EXPIRY_SECONDS))
                for _ in range(round(PARK_SECONDS / LOOK_SECONDS)):
                    await trio.sleep(LOOK_SECONDS)
                    if self.core.has_news(self.worker, trio.current_time()) or await ask(linked.look):
                        break
        except trio.BrokenResourceError:
            pass  # the gate has ended
        finally:
            now = trio.current_time()
            left = {self.name: [linked.drop(now)]}
            self.core.take(Poll(self.worker, left=left, last={self.name: [linked.last()]}, number=next(_numbers)), now)

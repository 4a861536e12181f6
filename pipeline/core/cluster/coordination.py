"""The coordinator of a run with several workers, as a plain object: no cluster, no clock, no I/O. `now` is an argument.

It owns what the workers share: the permits of every limit (`lane_desk`), attempts in flight (`slots`), the queue of shards
(`shards`), the reason to stop, and the picture of the whole. It never sees a row. Laws, each held by a property
(`tests/properties/test_cluster_laws.py`):

L1 The permits of a limit add up to it at all times: those held, those in the pool, those on their way.
L2 No permit is used twice within a period, whoever holds it.
L3 A permit in doubt counts as used at the last moment at which its holder could have used it.
L4 A worker that hears nothing for `expiry` seconds lets nothing leave.
L5 A name that was given up for dead is never answered again.

A worker may die (`lost`), fall silent (`look`), or be declared dead while it still runs; then its permits are locked until it must
have stopped by itself. Its shards go to the head of the queue. A new coordinator begins with what an earlier one `kept`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.cluster.counts import left_behind, only_sent, total
from pipeline.core.cluster.lane_desk import LaneDesk
from pipeline.core.cluster.shards import ShardQueue
from pipeline.core.cluster.talk import ShardCounts, Told
from pipeline.core.pacing.findings import Learned  # noqa: TC001  msgspec reads the annotations
from pipeline.core.pacing.permits import Coordinator, GivenUpError, Permits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.core.cluster.talk import LaneReport, Poll, SharedLane

SILENT = 2.0  # times the expiry, after which a worker's permits are given to others; it has stopped sending after one
FEW_TOMBSTONES = 4096  # holders that are remembered; a worker's own name is remembered for ever


class Kept(Struct):
    """What a coordinator leaves for the one after it.

    permits: of each lane and limit, in how many seconds each permit may be used again. dead: workers that are never answered again.
    """

    permits: dict[str, list[Permits]]
    dead: list[str] = field(default_factory=list)


class Picture(Struct):
    """The run as a whole.

    workers: alive. shards: in all. again: shards that were begun more than once. counts: over all shards. learned: of each lane, what all
    workers together found that its provider allows.
    """

    workers: int
    shards: int
    done: int
    running: int
    again: int
    counts: ShardCounts
    by_worker: dict[str, ShardCounts]
    stop: str | None = None
    learned: list[Learned | None] = field(default_factory=list)


class _Worker(Struct):
    """What is known of one worker. seen: clock of its latest message. holders: its flows. heard_stop: it was told to stop."""

    seen: float
    running: dict[int, ShardCounts]
    holders: set[str]
    wants: bool = False
    number: int = -1  # of its latest message
    heard_stop: int = 0  # 2: even what is in flight


class CoordinatorCore:
    """The run's coordinator.

    lanes: what is shared. shards: that are to be run, in order. done: those that are whole already. expiry: seconds of silence after
    which a worker lets nothing leave. kept: from an earlier coordinator, `passed` seconds ago; None where there is none. hold: seconds from
    now for which workers of that one may still send; None is for the expiry, as after an answer just now. epoch: higher than that of
    the one before.
    """

    def __init__(
        self,
        lanes: Sequence[SharedLane],
        shards: Iterable[int],
        done: Mapping[int, ShardCounts] | None = None,
        *,
        expiry: float,
        now: float,
        kept: Kept | None = None,
        passed: float = 0.0,
        hold: float | None = None,
        epoch: int = 0,
    ) -> None:
        self.desks = {lane.name: LaneDesk.of(lane) for lane in lanes}
        self.queue = ShardQueue(shards, done or {})
        self.left: dict[int, ShardCounts] = {}  # of shards that a worker did not go on with
        self.expiry = expiry
        self.epoch = epoch
        self.workers: dict[str, _Worker] = {}
        self.dead: set[str] = set()
        self.stopped: str | None = None
        self.cut_off = False
        if kept is not None:
            self.dead.update(kept.dead)
            held = expiry if hold is None else hold
            for lane in lanes:
                before = kept.permits.get(lane.name, [])
                self.desks[lane.name].permits = Coordinator.again(lane.limits, before, now, passed=passed, hold=held)

    # ---- the one message --------------------------------------------------------------------------------------------

    def take(self, poll: Poll, now: float) -> None:
        """Take what a worker says. Raises GivenUpError if it was given up for dead."""
        if poll.worker in self.dead:
            raise GivenUpError(poll.worker)
        worker = self.workers.get(poll.worker)
        if worker is None:
            worker = self.workers[poll.worker] = _Worker(now, {}, set())
        overtaken = poll.number < worker.number
        worker.seen = now
        if not overtaken:
            worker.number, worker.running, worker.wants = poll.number, poll.running, poll.wants
        for name, back in poll.left.items():
            worker.holders.discard(name)
            last = poll.last.get(name) or (None,) * len(back)
            for desk, permits, news in zip(self.desks.values(), back, last, strict=True):
                desk.leave(name, permits, now, news)
        for name, reports in poll.holders.items():
            self._note(worker, name, reports, now, overtaken=overtaken)
        for shard in poll.running:
            self.queue.adopt(shard, poll.worker)
        for shard, counts in poll.done.items():
            self.queue.finish(shard, poll.worker, counts)
        for shard, counts in poll.back.items():
            self._put_back(shard, poll.worker, counts, may_be_to_blame=False)
        self.stop(poll.stop or None)

    def answer(self, name: str, now: float) -> Told:
        """What a worker is told now."""
        if name in self.dead:
            return Told(self.epoch, dead=True)
        worker = self.workers[name]
        worker.heard_stop = (self.stopped is not None) + self.cut_off
        if worker.wants and self.stopped is None and set(self.queue.of(name)) <= set(worker.running) and self.queue.give(name) is not None:
            worker.wants = False
        shards = self.queue.of(name)
        lanes, given_up = {}, []
        for holder in sorted(worker.holders):
            if all(holder in desk.permits.holders for desk in self.desks.values()):
                lanes[holder] = [desk.answer(holder, now) for desk in self.desks.values()]
            else:
                given_up.append(holder)
                worker.holders.discard(holder)
        return Told(self.epoch, lanes, given_up, shards, self.stopped, self.queue.finished, cut_off=self.cut_off)

    def has_news(self, name: str, now: float) -> bool:
        """Whether a worker that waits for an answer should have it at once."""
        worker = self.workers.get(name)
        if worker is None or name in self.dead:
            return True
        if self.stopped is not None:
            return worker.heard_stop < 1 + self.cut_off
        if worker.wants and (self.queue.waiting or self.queue.finished):
            return True
        return any(desk.has_news(holder, now) for holder in worker.holders for desk in self.desks.values())

    # ---- deaths -----------------------------------------------------------------------------------------------------

    def leave(self, name: str, now: float) -> None:
        """A worker has ended in good order."""
        self._bury(name, now, 0.0)

    def lost(self, name: str, now: float, *, may_run: bool) -> None:
        """A worker is dead. may_run: its process may still be alive, for instance behind a network that is cut."""
        worker = self.workers.get(name)
        seen = now if worker is None else worker.seen
        self._bury(name, now, max(0.0, seen + self.expiry - now) if may_run else 0.0)

    def look(self, now: float) -> None:
        """Look at the clock: the permits of a flow that is silent go to others, also where its worker speaks and does not know it any more.

        The worker keeps its shards, which have a lock.
        """
        for worker in self.workers.values():
            for holder in sorted(worker.holders):
                if now - self._seen(holder, worker.seen) > SILENT * self.expiry:
                    self._give_up(holder, now, 0.0)

    def stop(self, reason: str | None) -> None:
        """Let nothing more leave, anywhere. The first reason counts."""
        self.stopped = self.stopped or reason

    # ---- for others -------------------------------------------------------------------------------------------------

    def kept(self, now: float) -> Kept:
        """What a coordinator that comes after this one must know."""
        return Kept({name: desk.permits.kept(now) for name, desk in self.desks.items()}, sorted(self.dead))

    def picture(self) -> Picture:
        """How far the run is."""
        by_worker = {name: total(worker.running.values()) for name, worker in self.workers.items()}
        queue = self.queue
        return Picture(
            workers=len(self.workers),
            shards=len(queue.waiting) + len(queue.running) + len(queue.done),
            done=len(queue.done),
            running=len(queue.running),
            again=len(queue.again),
            counts=self._counts(),
            by_worker=by_worker,
            stop=self.stopped,
            learned=[desk.found.together for desk in self.desks.values()],
        )

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _counts(self) -> ShardCounts:
        """Of all shards: those that are whole, those that are run, and those that were left by a worker."""
        running = [(shard, counts) for worker in self.workers.values() for shard, counts in worker.running.items()]
        again = {*self.queue.done, *(shard for shard, _ in running)}
        left = (only_sent(counts) if shard in again else counts for shard, counts in self.left.items())
        return total([self.queue.done_counts, *(counts for _, counts in running), *left])

    def _put_back(self, shard: int, name: str, counts: ShardCounts, *, may_be_to_blame: bool) -> None:
        if self.queue.running.get(shard) == name:
            self.left[shard] = left_behind(counts, self.left.get(shard))
            self.stop(self.queue.put_back(shard, name, counts=may_be_to_blame, rows=counts.rows))

    def _note(self, worker: _Worker, name: str, reports: Sequence[LaneReport], now: float, *, overtaken: bool) -> None:
        worker.holders.add(name)  # also one that is given up, so that the answer says so
        for desk, report in zip(self.desks.values(), reports, strict=True):
            permits = desk.permits
            if name in permits.given_up or (name not in permits.holders and not report.joins):
                return
            desk.note(name, report, now, overtaken=overtaken)

    def _bury(self, name: str, now: float, hold: float) -> None:
        self.dead.add(name)
        worker = self.workers.pop(name, None)
        for holder in () if worker is None else worker.holders:
            self._give_up(holder, now, hold)
        for shard in self.queue.of(name):
            counts = None if worker is None else worker.running.get(shard)
            self._put_back(shard, name, counts or ShardCounts(), may_be_to_blame=True)

    def _seen(self, holder: str, otherwise: float) -> float:
        """The clock of a flow's latest report."""
        return max((desk.permits.holders[holder].seen for desk in self.desks.values() if holder in desk.permits.holders), default=otherwise)

    def _give_up(self, holder: str, now: float, hold: float) -> None:
        for desk in self.desks.values():
            if holder in desk.permits.holders:
                desk.give_up(holder, now, hold)
                del desk.permits.given_up[:-FEW_TOMBSTONES]

"""A worker's side of the one message between it and the coordinator. It knows no Ray: it is given a call that blocks.

Theory of operation. A message is parked by the coordinator until there is news, at most `park_seconds`. So there is nearly always one
on its way, and news arrives at once. When the worker has something to say meanwhile (its demand has changed, a shard has ended),
a second message goes out that is not parked; the parked one is then answered with "stale", which says nothing.

A message that fails may have been taken, and its answer may have held permits. So after a failure the worker's flows give back what
they hold and join under new names. What never arrived is given to others when the old names have been silent for long enough.
Until a message is answered again the lanes fall silent by themselves: an answer counts for `expiry` seconds from when its question
was asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import msgspec
import trio
from attrs import define, field

from pipeline.core.cluster.linked_lane import LinkedLane
from pipeline.core.cluster.talk import Poll, ShardCounts, Told

if TYPE_CHECKING:
    from pipeline.core.cluster.talk import LaneAnswer, LaneNews, LaneReport
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.permits import Permits
    from pipeline.ports import AskLane

# What a worker has sent since its last message is in doubt when it dies, so as many permits lie idle for a period. In virtual time, with
# 300 a second, two deaths in 18 s cost 1 % with this, 2 % with twice as long, and 5 % with 1 s.
PARK_SECONDS = 0.25
PARK_SHARE = 1 / 3  # of the expiry, at most: two messages in a row may be lost, and the lanes go on
MOST_MESSAGES = 200  # a second, that one coordinator is to answer; where there are many workers, each says less
LOOK_SECONDS = 0.05
AGAIN_SECONDS = 0.2  # after a message that failed

T = TypeVar("T")

Call = Callable[[bytes, float], bytes]  # a message and for how long it may be parked; blocks, and raises OSError where it fails

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Told).decode


def park_seconds(workers: int, expiry: float) -> float:
    """For how long the coordinator parks a message at most. workers: that talk to it. expiry: as `Link` takes it."""
    return min(max(PARK_SECONDS, workers / MOST_MESSAGES), PARK_SHARE * expiry)


@define(eq=False)
class _Lane:
    """One lane of a flow that goes on. asked: what the gate is asked just now. ended: it does not go on any more."""

    linked: LinkedLane
    ask: AskLane
    asked: set[trio.CancelScope] = field(factory=set)
    ended: bool = False


@define(eq=False)
class _Flow:
    """One flow. name: of the holder, another one each time that it joins. lanes: by index; complete when all are there."""

    name: str
    lanes: dict[int, _Lane] = field(factory=dict)
    back: dict[int, list[Permits]] = field(factory=dict)
    last: dict[int, LaneNews] = field(factory=dict)


class Link:
    """Keeps a worker in step with its run.

    call: see `Call`. worker: its name. lanes: how many a flow has. expiry: seconds for which an answer counts. workers: that the run has.

    Read by the worker: shards (all that it is to run), stop (why nothing more may leave), cut_off, finished, dead. `news` is set when
    one of them has changed. Filled in by the worker: running, done, back, wants, reason; it calls `speak` when they have changed.
    """

    def __init__(self, call: Call, worker: str, *, lanes: int, expiry: float, workers: int = 1) -> None:
        self._call = call
        self._worker = worker
        self._lanes = lanes
        self._expiry = expiry
        self._park = park_seconds(workers, expiry)
        self._flows: dict[int, _Flow] = {}  # by shard
        self._left: dict[str, list[list[Permits]]] = {}
        self._last: dict[str, list[LaneNews]] = {}
        self._numbers = count()
        self._epoch = 0
        self._messages = count()
        self._urgent = trio.Event()
        self.shards: list[int] = []
        self.stop: str | None = None
        self.cut_off = self.finished = self.dead = False
        self.news = trio.Event()
        self.running: dict[int, ShardCounts] = {}
        self.done: dict[int, ShardCounts] = {}
        self.back: dict[int, ShardCounts] = {}
        self.wants = False
        self.reason = ""

    def keeper(self, shard: int, lane: int) -> Keeper:
        """What keeps one lane of a shard's flow."""
        return Keeper(self, shard, lane)

    def speak(self) -> None:
        """Let a message go out now."""
        self._urgent.set()

    def wake(self) -> None:
        """Have the worker look at what has changed."""
        self.news.set()
        self.news = trio.Event()

    async def run(self) -> None:
        """Talk to the coordinator until cancelled, or until this worker was given up."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._looks)
            while not self.dead:
                if not await self._exchange(self._park):
                    await trio.sleep(AGAIN_SECONDS)
            nursery.cancel_scope.cancel()

    async def end(self) -> None:
        """Say the last word, when no flow goes on any more, until it is heard."""
        heard = False
        while not (heard or self.dead):
            heard = await self._exchange(0.0)
            await trio.sleep(0 if heard else AGAIN_SECONDS)

    # ---- one message ------------------------------------------------------------------------------------------------

    async def _looks(self) -> None:
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await self._urgent.wait()
            urgent = self._urgent.is_set()
            for flow in self._flows.values():
                for lane in flow.lanes.values():
                    urgent = lane.linked.look(trio.current_time()) or urgent  # it only reads, so the gate need not be woken
            if urgent:
                self._urgent = trio.Event()
                if not await self._exchange(0.0):
                    await trio.sleep(AGAIN_SECONDS)

    async def _exchange(self, park: float) -> bool:
        """Send a message and act on the answer; whether there was one."""
        poll, begun = await self._poll()
        try:
            data = await trio.to_thread.run_sync(self._call, _encode(poll), park, abandon_on_cancel=True)
        except OSError:
            await self._renew()
            return False
        told = _decode(data)
        if told.epoch > self._epoch > 0:
            await self._renew()  # what the former coordinator gave is not known to this one
        if not told.stale and told.epoch >= self._epoch:
            self._epoch = told.epoch
            self._note(poll, told)
            # Also of a flow that joined by a later message, which may have arrived first: what is given here is given only once.
            flows = {flow.name: flow for flow in self._flows.values()}
            for name, answers in told.lanes.items():
                if name in flows and flows[name].name == name:
                    await self._hear(flows[name], answers, begun + self._expiry)
            for name in flows if told.dead else told.given_up:
                if name in flows and flows[name].name == name:
                    await self._drop(flows[name])
        return True

    def _note(self, poll: Poll, told: Told) -> None:
        """Take what does not concern a lane. What the message said is known by now."""
        before = self._known
        for said, waiting in ((poll.done, self.done), (poll.back, self.back)):
            for shard in said:
                waiting.pop(shard, None)
        for name in poll.left:
            self._left.pop(name, None)
            self._last.pop(name, None)
        self.shards, self.finished, self.cut_off = told.shards, told.finished, told.cut_off
        self.stop = told.stop if told.stop is not None else self.stop
        self.dead = self.dead or told.dead
        if self._known != before:
            self.wake()

    @property
    def _known(self) -> tuple[object, ...]:
        return (self.shards, self.finished, self.cut_off, self.stop, self.dead, len(self.done), len(self.back))

    async def _hear(self, flow: _Flow, answers: list[LaneAnswer], valid_until: float) -> None:
        for index, answer in enumerate(answers):
            lane = flow.lanes.get(index)
            if lane is not None:
                await self._ask(lane, partial(lane.linked.hear, answer, valid_until))

    async def _poll(self) -> tuple[Poll, float]:
        number, begun = next(self._messages), trio.current_time()
        holders: dict[str, list[LaneReport]] = {}
        for flow in list(self._flows.values()):
            if len(flow.lanes) < self._lanes:
                continue
            reports = [await self._ask(flow.lanes[index], flow.lanes[index].linked.report) for index in sorted(flow.lanes)]
            found = [report for report in reports if report is not None]
            if len(found) == self._lanes:
                holders[flow.name] = [report for _, report in found]
                begun = min(begun, *(at for at, _ in found))
        left, last, done, back = dict(self._left), dict(self._last), dict(self.done), dict(self.back)
        return Poll(self._worker, holders, left, last, dict(self.running), done, back, self.wants, self.reason, number), begun

    async def _renew(self) -> None:
        """Give everything back, and join under other names."""
        for flow in list(self._flows.values()):
            old = flow.name
            back = await self._drop(flow)
            if len(back) == self._lanes:
                self._left[old] = back

    async def _drop(self, flow: _Flow) -> list[list[Permits]]:
        flow.name = self._name()
        lanes = [flow.lanes[index] for index in sorted(flow.lanes)]
        given = [await self._ask(lane, lane.linked.drop) for lane in lanes]
        return [each for each in given if each is not None]

    async def _ask(self, lane: _Lane, do: Callable[[float], T]) -> T | None:
        """Let the gate do something with a lane, unless its flow has ended or ends meanwhile."""
        if lane.ended:
            return None
        with trio.CancelScope() as scope:  # a scope, because two tasks for each question cost as much as a row
            lane.asked.add(scope)
            try:
                return await lane.ask(do)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None  # the gate has ended, or the flow has ended since the look above; `leave` gives back what the lane held
            finally:
                lane.asked.discard(scope)
        return None

    # ---- flows ------------------------------------------------------------------------------------------------------

    def join(self, shard: int, index: int, state: LaneState, ask: AskLane) -> _Lane:
        """A lane of a flow begins."""
        flow = self._flows.get(shard)
        if flow is None:
            flow = self._flows[shard] = _Flow(self._name())
        lane = flow.lanes[index] = _Lane(LinkedLane(state), ask)
        if len(flow.lanes) == self._lanes:
            self.speak()
        return lane

    def leave(self, shard: int, index: int, now: float) -> None:
        """A lane of a flow has ended: give its permits back with the next message."""
        flow = self._flows[shard]
        lane = flow.lanes.pop(index)
        lane.ended = True
        for scope in lane.asked:
            scope.cancel()
        flow.back[index], flow.last[index] = lane.linked.drop(now), lane.linked.last()
        if not flow.lanes:
            del self._flows[shard]
            self._left[flow.name] = [flow.back[each] for each in sorted(flow.back)]
            self._last[flow.name] = [flow.last[each] for each in sorted(flow.last)]
            self.speak()

    def _name(self) -> str:
        return f"{self._worker}/{next(self._numbers)}"


@define(eq=False)
class Keeper:
    """A `LaneKeeper` over a link."""

    link: Link
    shard: int
    index: int

    async def keep(self, lane: LaneState, ask: AskLane) -> None:
        """See `LaneKeeper`."""
        self.link.join(self.shard, self.index, lane, ask)
        try:
            await trio.sleep_forever()
        finally:
            self.link.leave(self.shard, self.index, trio.current_time())

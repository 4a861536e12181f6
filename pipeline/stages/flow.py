"""The wiring, in reading order: one nursery, six stages, bounded channels, and nothing shared.

      credits: one for every row that may be in memory
    ┌──────────────────────────────────────────────────────────┐
    ▼                                                          │
    read ──jobs──► gate ──tickets──► fetch × N ──outcomes──► record → order → write
                    ▲                  │
                    └──── reports ─────┘

Why no cycle of full channels can lock: every channel on a cycle has room for all that can ever be in it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from msgspec import field

from pipeline.core.bookkeeping.ledger import Ledger
from pipeline.core.bookkeeping.reorder import ReorderWindow
from pipeline.events import RunBegan
from pipeline.messages import Change, GateMessage, Notice, Ticket
from pipeline.records import Job, Outcome
from pipeline.stages.fetch import FetchSettings, fetch
from pipeline.stages.gate import gate
from pipeline.stages.gate_tally import GateTally
from pipeline.stages.handover import Handover
from pipeline.stages.mailbox import Mailbox, Post
from pipeline.stages.order import Batch, Spill, order, pass_on
from pipeline.stages.read import ReadTally, read
from pipeline.stages.record import record
from pipeline.stages.room import WINDOW_BYTES, Room
from pipeline.stages.write import write
from pipeline.summaries import Progress
from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import LaneKeeper, LimitLease, Observer, Reuse, Store
    from pipeline.records import Failure, Usage
    from pipeline.stages.leaving import Leaving

MOST_WORKERS = 1 << 16  # connections to one address from one of ours: there are no more ports
GRACE_SECONDS = 30.0  # for what is in flight after a stop; a container's manager kills after 30 s as a rule
LINGER_ROW_SECONDS = 0.000_05  # at 10,000 rows/s half of a window gathers, and the linger does not bound the speed


class FlowSettings(Record, frozen=True):
    """All that a flow is made of.

    lanes: where attempts go. window: rows in memory at most. in_order: rows leave in input order. limit: rows of the
    input read at most, from its start. store: keeps rows and outcomes; the flow's own. reuse: answers rows without sending
    them; None sends every row. observers: told what happens. cost_of: what their records say of the cost of an attempt.
    window_bytes: of rows and answers, besides those in flight. changes: of the lanes and budgets, while the run goes on; one at a
    time. leases: of the lanes whose limits are shared.
    """

    take_rows: Callable[[int], Awaitable[list[RawRow]]]
    make_jobs: Callable[[list[RawRow], int], Sequence[Job | Failure]]
    lanes: Lanes
    fetch: FetchSettings
    store: Store[Any]
    window: int
    in_order: bool = True
    limit: int | None = None
    reuse: Reuse | None = None
    observers: Sequence[Observer] = ()
    cost_of: Callable[[Job, Usage, str], float | None] | None = None
    window_bytes: int = WINDOW_BYTES
    changes: trio.MemoryReceiveChannel[Change] | None = None
    leases: Mapping[LaneState, LimitLease | LaneKeeper] = field(default_factory=dict)
    grace_seconds: float = GRACE_SECONDS


class Tallies(Record, frozen=True, eq=False):
    """What each stage counts; a stage writes to its own, anybody may read."""

    read: ReadTally = field(default_factory=ReadTally)
    gate: GateTally = field(default_factory=GateTally)
    ledger: Ledger = field(default_factory=Ledger)

    def progress(self, *, elapsed_seconds: float, rows_expected: int | None = None) -> Progress:
        """A snapshot for people."""
        return Progress(
            rows_read=self.read.rows,
            rows_done=self.ledger.total,
            rows_failed=self.ledger.failed,
            rows_total=self.read.rows if self.read.ended else None,
            attempts=self.gate.attempts,
            retries=self.gate.retries,
            throttled=self.gate.throttled,
            in_flight=self.gate.in_flight,
            waiting=self.gate.waiting,
            elapsed_seconds=elapsed_seconds,
            bound=self.gate.bound,
            rows_expected=self.read.rows if self.read.ended else rows_expected,
            prompt_tokens=self.ledger.prompt_tokens,
            output_tokens=self.ledger.output_tokens,
            failures=self.ledger.failures,
            waits_for=self.gate.waits_for,
        )


async def run_flow(settings: FlowSettings, tallies: Tallies, stop: trio.Event) -> None:
    """Run the stages until every row has its outcome, or until `stop` is set and what was in flight has ended.

    Raises an ExceptionGroup of the errors that a stage did not handle.
    Cancellation: rows in memory that are not recorded have no outcome; the output is a whole prefix.
    """
    window, workers, policy = settings.window, settings.lanes.most_in_flight, settings.fetch.policy
    give, credits_ = trio.open_memory_channel[int](window + 1)
    if settings.changes is not None:
        workers = max(workers, MOST_WORKERS)  # there may be more later; room that nobody uses costs nothing
    post, inbox = Mailbox[GateMessage](_messages_at_once(settings, workers)).ends()
    grant, tickets = Handover[list[Ticket]]().ends()
    end, outcomes = Mailbox[Outcome](window).ends()
    keep, recorded = trio.open_memory_channel[list[Any]](1)
    sort, ordered = trio.open_memory_channel[Batch[Any]](1)
    reader_post, stop_post, change_post, lease_post = post.clone(), post.clone(), post.clone(), post.clone()
    reader_end, gate_end = end.clone(), end.clone()
    spill_give = give.clone()
    reading = trio.CancelScope()
    store = settings.store
    room = Room(settings.window_bytes * 3 // 4)  # the rest is for rows that are being read and answers that are being written

    async def run_reader() -> None:
        with reading:
            await read(
                settings.take_rows,
                settings.make_jobs,
                store=store,
                credits=credits_,
                jobs=reader_post,
                outcomes=reader_end,
                tally=tallies.read,
                first_index=store.first_index,
                limit=settings.limit,
                reuse=settings.reuse,
                room=room,
                ahead=lambda: tallies.gate.queued,
            )

    def halt() -> None:
        """End the reading, and give what is in flight a while; the gate has stopped by itself."""
        reading.cancel()
        stages.cancel_scope.deadline = trio.current_time() + settings.grace_seconds

    async def run_gate() -> None:
        await gate(
            inbox,
            grant,
            gate_end,
            lanes=settings.lanes,
            policy=policy,
            tally=tallies.gate,
            stop=stop,
            halt=halt,
            observers=settings.observers,
            cost_of=settings.cost_of,
            full=lambda: tallies.read.full,
        )
        reading.cancel()  # a gate that lets nothing more leave needs no more rows

    run_fetch = partial(fetch, tickets, post, end, settings=settings.fetch, store=store, room=room, leaving=_leaving(settings, post))

    async def run_recorder() -> None:
        await record(
            outcomes,
            keep,
            store=store,
            ledger=tallies.ledger,
            linger_seconds=min(store.linger_seconds, window * LINGER_ROW_SECONDS),
            enough=window // 8,
            reuse=settings.reuse,
            room=room,
        )

    async def run_order() -> None:
        if settings.in_order:
            spill = Spill(window // 2, store, spill_give) if store.has_room else None
            await order(recorded, sort, window=ReorderWindow(store.first_index, store.held), spill=spill)
        else:
            await pass_on(recorded, sort)

    give.send_nowait(window)
    for observer in settings.observers:
        observer.events([RunBegan(trio.current_time(), settings.fetch.utc())])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pass_on_changes, settings.changes, change_post)
        _keep_leases(nursery, settings.leases, lease_post)
        async with trio.open_nursery() as stages:
            nursery.start_soon(_drain_when_told, stop, reading, stop_post, stages.cancel_scope, settings.grace_seconds)
            stages.start_soon(_stage, run_reader)
            stages.start_soon(_stage, run_gate)
            # A row that one of these could not pass on is lost to the run, and the gate would wait for it for ever.
            end_all = stages.cancel_scope.cancel
            stages.start_soon(_stage, run_fetch, end_all)
            stages.start_soon(_stage, run_recorder, end_all)
            stages.start_soon(_stage, run_order, end_all)
            stages.start_soon(_stage, partial(write, ordered, store=store, credits=give), end_all)
        nursery.cancel_scope.cancel()


async def _stage(run: Callable[[], Awaitable[None]], end_all: Callable[[], None] = lambda: None) -> None:
    """Run a stage. A broken channel means that its neighbour has ended, and the neighbour reports why."""
    try:
        await run()
    except* trio.BrokenResourceError:
        end_all()


async def _pass_on_changes(changes: trio.MemoryReceiveChannel[Change] | None, post: Post[GateMessage]) -> None:
    """Let the gate make changes of its lanes, so that nobody else touches them."""
    with post:
        if changes is None:
            return
        with changes:
            async for change in changes:
                try:
                    await post.send(change)
                except trio.BrokenResourceError:
                    return  # the gate has already ended


async def _drain_when_told(
    stop: trio.Event,
    reading: trio.CancelScope,
    post: Post[GateMessage],
    stages: trio.CancelScope,
    grace_seconds: float,
) -> None:
    with post:
        await stop.wait()
        reading.cancel()
        stages.deadline = trio.current_time() + grace_seconds
        try:
            post.send_nowait(Notice.STOP)
        except trio.BrokenResourceError:
            return  # the gate has already ended


def _messages_at_once(settings: FlowSettings, workers: int) -> int:
    """How many messages to the gate there can be at once."""
    room = settings.window + workers + 3  # a report outlives its row's credit (law 5); the notice to stop, and a change
    if settings.leases:  # two of each worker that asks whether it may leave, and one for each group of tickets
        room += 4 * len(settings.leases) + 3 * workers
    return room


def _leaving(settings: FlowSettings, post: Post[GateMessage]) -> Leaving | None:
    if not settings.leases:
        return None
    from pipeline.stages.leaving import leaving_of  # noqa: PLC0415  few runs share limits

    return leaving_of(settings.leases, post, alone=lambda: settings.lanes.alone is not None)


def _keep_leases(nursery: trio.Nursery, leases: Mapping[LaneState, LimitLease | LaneKeeper], post: Post[GateMessage]) -> None:
    if not leases:
        post.close()
        return
    from pipeline.stages.leasing import keep_leases  # noqa: PLC0415  few runs share limits

    nursery.start_soon(keep_leases, leases, post)

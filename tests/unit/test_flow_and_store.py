"""What a flow tells its store of every attempt, and what it does where the store cannot keep an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing
from attrs import define, field

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.core.pacing.lanes import Lanes
from pipeline.core.rows.lines import RawRow
from pipeline.records import Answer, FailureKind, Fault, FaultCause, Job
from pipeline.stages.fetch import FetchSettings
from pipeline.stages.flow import FlowSettings, Tallies, run_flow
from tests.fakes.stores import FakeStore

if TYPE_CHECKING:
    from pipeline.records import Outcome

BUSY = Answer(429, [], b'{"error":{"message":"too many"}}')
CUT = Fault(FailureKind.CONNECTION, "reset", maybe_sent=True, cause=FaultCause.CLOSED)
MESSAGE = b'{"role":"assistant","content":"a"}'
RIGHT = Answer(200, [], b'{"choices":[{"index":0,"message":%s,"finish_reason":"stop"}]}' % MESSAGE)


@define(eq=False)
class Sender:
    """Gives the replies in turn, then right answers."""

    replies: list[Answer | Fault]
    sent: list[int] = field(factory=list)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        self.sent.append(job.index)
        await trio.sleep(0.1)
        return self.replies.pop(0) if self.replies else RIGHT

    def release(self) -> None:
        """Nothing is counted here."""

    def close(self) -> None:
        pass


@define(eq=False)
class LoggingStore(FakeStore):
    """Notes what it is told, in order. full: the first so many outcomes cannot be kept."""

    log: list[str] = field(factory=list)
    full: int = 0
    unkept: set[int] = field(factory=set)

    def left(self, index: int) -> None:
        self.log.append(f"left {index}")

    def cleared(self, index: int) -> None:
        self.log.append(f"cleared {index}")

    def keep(self, outcome: Outcome) -> Outcome:
        self.log.append(f"kept {outcome.index}")
        if self.full:
            self.full -= 1
            self.unkept.add(outcome.index)
            self.is_behind = True
        return outcome

    def record_now(self, outcomes: list[Outcome]) -> None:
        super().record_now(outcomes)
        self.unkept -= {outcome.index for outcome in outcomes}
        if self.is_behind and not self.unkept:
            self.log.append("caught up")
            self.is_behind = False
            self.room.set()


def flow(store: LoggingStore, sender: Sender, rows: int, workers: int = 1) -> FlowSettings:
    left = [RawRow(index + 1, index, b"{}") for index in range(rows)]

    async def take_rows(most: int) -> list[RawRow]:
        await trio.lowlevel.checkpoint()
        taken = left[:most]
        del left[:most]
        return taken

    def make_jobs(taken: list[RawRow], first: int) -> list[Job]:
        return [Job(index, f"row-{index}", "POST", "/v1/chat/completions", b"{}", 1, 1) for index, _ in enumerate(taken, first)]

    return FlowSettings(
        take_rows=take_rows,
        make_jobs=make_jobs,
        lanes=Lanes([LaneState(Lane(), workers)]),
        fetch=FetchSettings((lambda: sender,), RetryPolicy(6, 1.0, 4.0), draw=lambda: 0.5, utc=lambda: 0.0, name_attempt=lambda *_: "name"),
        store=store,
        window=10,
    )


async def test_an_attempt_that_was_answered_in_vain_is_not_one_of_unknown_outcome(autojump_clock: trio.testing.MockClock) -> None:
    store = LoggingStore()

    await run_flow(flow(store, Sender([BUSY]), rows=1), Tallies(), trio.Event())

    assert store.log == ["left 0", "cleared 0", "left 0", "kept 0"]


async def test_an_attempt_that_was_cut_off_stays_one_of_unknown_outcome(autojump_clock: trio.testing.MockClock) -> None:
    store = LoggingStore()

    await run_flow(flow(store, Sender([CUT]), rows=1), Tallies(), trio.Event())

    assert store.log == ["left 0", "left 0", "kept 0"]


async def test_nothing_leaves_in_the_place_of_an_outcome_that_could_not_be_kept(autojump_clock: trio.testing.MockClock) -> None:
    store = LoggingStore(full=2, linger_seconds=5.0)

    await run_flow(flow(store, Sender([]), rows=6, workers=2), Tallies(), trio.Event())

    caught_up = store.log.index("caught up")
    assert sorted(store.log[:caught_up]) == ["kept 0", "kept 1", "left 0", "left 1"]
    assert [outcome.index for outcome in store.written] == list(range(6))

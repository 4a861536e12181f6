"""What the stages ask of the world: small protocols, each with its contract.

A new source, store, provider or observer implements one of these and changes no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

from pipeline.core.bookkeeping.reorder import Indexed

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Iterator, Sequence

    from pipeline.core.bookkeeping.intervals import Intervals
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.permits import Demand, Permits, Reply
    from pipeline.core.rows.lines import RawRow
    from pipeline.events import AttemptRecord, RunEvent
    from pipeline.messages import Report
    from pipeline.records import Answer, Arrival, Failure, Fault, Job, Outcome


T = TypeVar("T", bound=Indexed)
Found = TypeVar("Found")


class StreamConsumer(Protocol):
    """Puts a streamed body together while it arrives, so that it need not be kept whole. The receiver of the body passes in the time.

    `take` is called for every piece, `fold` when `due` says so, and `end` once. `fold` and `end` take about 20 ms for a MB, so they may be
    called in a thread. Where there is very much to do they are called on a copy in another process, and `adopt` is called with what that
    has come to; one that cannot be pickled stays in the thread.
    """

    @property
    def held(self) -> int:
        """Bytes of memory that it holds, about."""

    @property
    def due(self) -> int:
        """Bytes that `fold` would work through now; 0 while they are too few to be worth it."""

    @property
    def first_token_at(self) -> float | None:
        """Clock when the first part of the answer came."""

    @property
    def last_event_at(self) -> float:
        """Clock when the last piece came that was more than comments and pings; before the first one, when the body began."""

    def take(self, piece: bytes, now: float) -> None:
        """Take what has come by this time."""

    def fold(self) -> None:
        """Put together what has come."""

    def end(self) -> bytes:
        """What came of the body, when it is whole or nothing more will come."""

    def adopt(self, other: Self) -> None:
        """Take over the state of a copy."""

    @property
    def arrival(self) -> Arrival:
        """How it arrived, once ended."""


OpenConsumer = Callable[[float], StreamConsumer]  # at this time


class Sender(Protocol):
    """Makes attempts over a connection of its own, one at a time.

    The body of a stream goes through a StreamConsumer; the answer then says in `arrival` how it arrived.
    """

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt: everything that may go wrong on the way is a Fault, and no attempt outlives its deadlines.

        The body of an answer counts against the memory that all senders share until `release`, `close` or the next attempt.
        Cancellation: the attempt is lost and its connection dropped; the provider may have seen the request.
        """

    def release(self) -> None:
        """The last answer is no longer in memory. Calling it again does no harm."""

    def close(self) -> None:
        """Close the connection. Calling it again does no harm."""


OpenSender = Callable[[], Sender]


class Departure(Protocol):
    """Is asked by a sender before an attempt leaves, on lanes whose limits other processes use too."""

    def delays(self) -> None:
        """The attempt cannot leave at once, because it has to connect first or waits for something else. Calling it again does no harm."""

    def may_leave(self) -> Coroutine[Any, Any, bool]:
        """Whether the attempt may leave now, to be awaited by a light task. If not, `NOT_LEFT` is what comes of it."""


class AskingSender(Sender, Protocol):
    """A sender that can ask before an attempt leaves. The attempts of one that has no `ask_before` count from their tickets."""

    def ask_before(self, departure: Departure) -> None:
        """Ask this before every attempt from now on."""


class LightSender(Sender, Protocol):
    """A sender that needs no task of trio's for most of its attempts (`light`). One that has no `attempt` is given a task for each."""

    def attempt(self, job: Job, client_request_id: str) -> Coroutine[Any, Any, Answer | Fault]:
        """One attempt, as `send` makes it, to be awaited by a light task."""


class ClientRequestIds(Protocol):
    """Names an attempt, so that one of unknown outcome can be traced at the provider."""

    def __call__(self, index: int, attempt: int) -> str:
        """ASCII, at most 512 characters, different for every attempt."""


@runtime_checkable
class LimitLease(Protocol):
    """This process's share of the limits of a lane, as permits (`core/pacing/permits.py`). Blocks; called in one thread at a time.

    valid_seconds: nothing may leave later than so long after the last report was begun that was answered. It is shorter than
    the time after which a silent process is given up for dead, so that no permit is used twice.
    """

    valid_seconds: float

    def report(self, demand: Demand) -> Reply:
        """Say what is held and wanted, and get permits, or the word to give some back.

        Raises GivenUpError where this process was silent for too long: it holds nothing any more, and joins anew with the next report.
        OSError where the others cannot be reached now.
        """

    def leave(self, back: Sequence[Permits]) -> None:
        """Give everything back, at the end. Raises OSError."""


class AskLane(Protocol):
    """Has the gate do something with a lane, because nobody else may touch it, and gives what came of it.

    Raises trio.BrokenResourceError once the gate has ended.
    """

    async def __call__(self, do: Callable[[float], Found], /) -> Found:
        """do: called by the gate with its clock."""


class LaneKeeper(Protocol):
    """Keeps a lane in step with the same lane in other processes: its share of the limits, and what one of them has found out."""

    async def keep(self, lane: LaneState, ask: AskLane) -> None:
        """Do so until cancelled, and give everything back then; the gate has ended by that time, and the lane may be touched."""


class Reuse(Protocol):
    """Answers rows without asking the provider: from earlier answers to the same request, or together with a row that is on its way.

    Error handling: CacheError ends the flow and is told as a reason to run again later.
    """

    def begin(self, made: Sequence[Job | Failure], done: Collection[int]) -> tuple[list[Job | Outcome], int]:
        """What is to be done about rows that were read, in their order, and how many more wait for another row's answer.

        done: indexes of rows that have an outcome; nothing is given for them. A job comes back as it is, or as the success
        that it need not be sent for.
        """

    async def finished(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Keep answers for later, and give the outcomes of the rows that waited for one of these.

        Cancellation: what was not kept is asked for again another time.
        """


class Source(Protocol):
    """Gives the rows of one input in order, each once, in groups. Blocks: its calls belong in a thread, one at a time.

    A row says where it stands by its `line` and `offset`. What these numbers mean is the source's own business; `line` is shown to
    people, and a source without lines gives 0. Owns what it has opened; close it, also after an error.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def can_be_reopened(self) -> bool:
        """Whether another opening gives the same rows again from the first one on."""

    @property
    def size(self) -> int | None:
        """Bytes that there are to read, as of the opening; None if that is not known."""

    @property
    def bytes_read(self) -> int:
        """How many of these were read for the rows that were taken."""

    @property
    def length(self) -> int | None:
        """How many rows there are; None if that is not known before they are read."""

    def take(self, most: int) -> list[RawRow]:
        """The next rows: at most this many, and at least one, or none at the end. Does not wait for more once it has some.

        Raises InputError where the input breaks off, after all rows before that place were taken, and again at every later call.
        """

    def text_before(self, line: int, offset: int) -> Iterator[bytes] | None:
        """Pass the rows before the one that stands there, and give their text in pieces; `take` then gives that row and those behind.

        Called before the first `take`, and read to its end. None if the rows can only be passed by taking them; then nothing was
        read. Raises InputError.
        """

    def close(self) -> None:
        """Give back what it has opened. Calling it again does no harm."""


OpenSource = Callable[[], Source]


class Observer(Protocol):
    """Is told what happens in a run, in the event loop and in order. It must not wait, and what it raises ends the run.

    Records and events come in groups, of what happened since the last group; none of them is empty. An observer may keep what it is
    given, and must not change it: all observers of a run are given the same.
    """

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Attempts that have ended, each once. One that is cut off, because the run is cancelled, has no record."""

    def events(self, events: Sequence[RunEvent]) -> None:
        """What happened to the run and its lanes, the oldest first. `RunBegan` is the first of all."""


@runtime_checkable
class GroupObserver(Observer, Protocol):
    """An observer that every run pays for, so it is told of groups: no record is made of an attempt that was answered.

    `attempts` then tells only of those that brought no result.
    """

    def left(self, lane: str, count: int, at: float, held_by: str, tokens: int) -> None:
        """Attempts leave a lane together. held_by: as in `AttemptRecord`. tokens: what limits are charged for all of them."""

    def answered(self, reports: Sequence[Report], costs: Sequence[float | None] | None) -> None:
        """Attempts that gave their rows a result, about a second of them at once. costs: as in `AttemptRecord`, None if no price is known.

        It must not keep the reports, which hold requests.
        """


class Store(Protocol[T]):
    """Keeps what a run has read, sent and got back. One object with one owner: the flow that it is made for.

    Every row passes through it in this order:

        begin → left → (cleared → left)* → keep → record → write

    `keep` is skipped for a row that was never sent, or whose result another stage decides. What `record` gives back for
    an outcome (an item) is what `write` gets, and `read_back` gives the same again for rows that were recorded, so that
    they need not wait in memory.

    `begin`, `left`, `cleared`, `keep` and `record_now` do not wait; `begin` and `keep` are called once per row.
    Error handling: whatever it raises ends the flow. SinkError and JournalError are told as a reason to run again later.
    """

    @property
    def held(self) -> Intervals:
        """Rows that were recorded and not yet written when the flow starts. The flow takes rows out of it and adds some."""

    @property
    def first_index(self) -> int:
        """Index of the first row that the input gives to this flow."""

    @property
    def has_room(self) -> bool:
        """Whether rows that wait for an earlier one may be left here, to be read back later."""

    @property
    def linger_seconds(self) -> float:
        """How long outcomes are gathered before they are recorded together."""

    @property
    def lingers(self) -> int:
        """How many times as long they are gathered at most, while more arrive; 1 where an outcome is not safe before it is recorded."""

    def begin(self, rows: Sequence[RawRow], first: int) -> Collection[int]:
        """Note rows that were read, the first of which has this index; the indexes of those that have an outcome already."""

    def left(self, index: int) -> None:
        """Note that an attempt for a row is about to leave. If the process dies now, the attempt may have been billed."""

    def cleared(self, index: int) -> None:
        """Note that the attempt has ended without an outcome, and that it is known what became of it."""

    def keep(self, outcome: Outcome) -> Outcome:
        """Save an outcome from the death of the process, as far as the store can. It must still be recorded.

        Gives what is to be recorded in its place: a store that has a long body on disk takes it out of memory.
        """

    @property
    def is_behind(self) -> bool:
        """Whether some outcome could not be kept and is not recorded yet. Then nothing may leave in the place of one that ended."""

    async def catch_up(self) -> None:
        """Wait until the store is not behind any more. Only called while it is."""

    async def record(self, outcomes: list[Outcome]) -> list[T]:
        """Make outcomes durable; an item for each, in the same order. An empty list comes when outcomes pause.

        Cancellation: takes effect before anything is done, or not at all.
        """

    def record_now(self, outcomes: list[Outcome]) -> None:
        """Make outcomes durable without waiting: the flow is being cancelled and will not write them."""

    async def read_back(self, first: int, count: int) -> list[T]:
        """The items of the rows `[first, first + count)`, all of which were recorded and none of which was written."""

    def size_of(self, items: Sequence[T]) -> int:
        """Bytes of memory that items take."""

    async def write(self, items: list[T]) -> None:
        """Append items to the output; when this returns, they are done with and their rows have left the flow.

        Cancellation: takes effect before anything is done, or not at all.
        """

"""What the stages send each other. A message is filled in by its maker; nobody writes to one after it was sent.

These are msgspec structs, because several are made per row: one takes 0.08 µs to make, an attrs instance 0.5 µs.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.records import NO_USAGE, Arrival, Failure, FaultCause, Job, Scope, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

THROTTLED = frozenset({429, 503, 529})  # statuses of a provider that has too much to do


class Grant(Struct, eq=False, gc=False):
    """Leave for one attempt: what it holds of its lane's limits. Only the lane that gave it may change it.

    left: clock when it was given. sent: clock when the request is known to have left, `left` until then. tokens: what
    is charged, the estimate until it is settled. output: the part of the tokens that is the answer's. crowd: how
    many were in flight with it when it left.
    """

    left: float
    sent: float
    tokens: int
    output: int = 0
    crowd: int = 0


class Spending(Struct, frozen=True):
    """An amount of everything that a budget counts.

    cost: in 10⁻¹² of the currency; 0 where no price is known. tokens: input and output together.
    """

    cost: int = 0
    tokens: int = 0
    requests: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.cost + other.cost, self.tokens + other.tokens, self.requests + other.requests)

    def __sub__(self, other: Spending) -> Spending:
        return Spending(self.cost - other.cost, self.tokens - other.tokens, self.requests - other.requests)


NOTHING = Spending()


class Spent(Struct, frozen=True):
    """What was spent of a run's budgets, for a later process.

    seconds: of running. lanes: of each lane, by its name. largest: the most that one attempt may cost.
    """

    total: Spending = NOTHING
    seconds: float = 0.0
    lanes: dict[str, Spending] = {}
    largest: Spending = NOTHING


class FailedAttempt(Struct, frozen=True, gc=False):
    """An earlier attempt of a row that may have been the row's own fault; the lane's later history decides.

    lane: where it was made. number: as in `Ticket`. scope: whom the failure seemed to concern.
    """

    lane: int
    number: int
    scope: Scope


class Ticket(Struct, eq=False, gc=False):
    """Leave to make one attempt now.

    attempt: 1 for the first. lane, lane_name: the lane on which the attempt is made. number: counts the attempts of that lane
    in the order in which they leave. failed: earlier attempts that may count against the row. refused: the row got a 401
    before that turned out to be its own. avoid: index of the lane that has just failed the row, -1 for none. rejected, wasted:
    earlier answers that were none, and their tokens. cut: checksum of the last stream that broke off, 0 if none did. original:
    the row's first request, where this one is another because an answer did not fit. reserved: what the attempt may cost at
    most, where there is a budget. charged: tokens that limits were charged before its usage was known. turn, left, held_by: as
    in `AttemptRecord`; turn only where somebody observes.
    """

    job: Job
    attempt: int
    grant: Grant | None
    lane: int = 0
    lane_name: str = ""
    number: int = 0
    turn: float = 0.0
    left: float = 0.0
    held_by: str = ""
    failed: tuple[FailedAttempt, ...] = ()
    refused: bool = False
    avoid: int = -1
    rejected: int = 0
    wasted: Usage = NO_USAGE
    cut: int = 0
    original: Job | None = None
    reserved: Spending | None = None
    charged: int = 0


class Report(Struct, eq=False, gc=False):
    """What a worker tells the gate at the end of every attempt.

    answered: the provider answered, and the row's outcome has been passed on already; unless ask_again says with which request
    the row is to be asked again because its answer did not fit, or stop says why the run must stop. Otherwise
    failure: what to write if it is the row's own fault. code, message: what went wrong, for people. scope: whom it seems to
    concern. retryable: another attempt of this row may succeed, `delay` seconds from now. wait_seconds: the least wait that
    the provider asks for, or None. limited: a rate limit is what the provider spoke of. cause: what went wrong on the way,
    if there was no answer. maybe_sent: no answer came, yet the attempt may have been billed.

    status: of the response, if there was one. usage: what the attempt cost, as far as it is known. seconds: how long it
    took. sent_at: clock when the request had left. headers: the answer's. now_utc: seconds since the epoch when it was in
    hand. arrival: as in `Answer`. response_bytes: of the answer's body. ended: clock when the attempt had ended.
    rejected, wasted, cut: as in `Ticket`, with this attempt counted.
    """

    ticket: Ticket
    answered: bool = False
    status: int | None = None
    usage: Usage = NO_USAGE
    seconds: float = 0.0
    sent_at: float | None = None
    headers: Sequence[tuple[bytes, bytes]] | None = None
    now_utc: float = 0.0
    arrival: Arrival | None = None
    response_bytes: int = 0
    ended: float = 0.0
    failure: Failure | None = None
    code: str = ""
    message: str = ""
    scope: Scope = Scope.ROW
    retryable: bool = False
    delay: float = 0.0
    wait_seconds: float | None = None
    limited: bool = False
    cause: FaultCause | None = None
    maybe_sent: bool = False
    rejected: int = 0
    wasted: Usage = NO_USAGE
    cut: int = 0
    ask_again: Job | None = None
    stop: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the row has its result, and nothing else is to be done."""
        return self.answered and not self.code and self.ask_again is None and self.stop is None

    @property
    def throttled(self) -> bool:
        """Whether a rate limit was met, or the provider had too much to do."""
        return self.limited or self.status in THROTTLED


class Notice(Enum):
    """What the gate is told that is neither a job nor a report."""

    END_OF_INPUT = auto()
    STOP = auto()  # let nothing more leave; what is in flight may finish
    TICK = auto()  # a second has passed


class Change(Struct, frozen=True, eq=False):
    """Something about the lanes or budgets of a run that is to be changed. apply: does it; called by the gate, with its clock."""

    apply: Callable[[float], None]


GateMessage = list[Job] | Report | Notice | Change

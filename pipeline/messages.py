"""What the stages tell each other. A message is filled in by its maker; nobody writes to one after it was sent.

These are msgspec structs, because several are made per row: one takes 0.08 µs to make, an attrs instance 0.5 µs.
"""

from __future__ import annotations

from enum import Enum, auto

from msgspec import Struct

from pipeline.records import NO_USAGE, Failure, Job, Usage


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


class Ticket(Struct, eq=False, gc=False):
    """Leave to make one attempt now.

    attempt: 1 for the first. strikes: earlier ones that are held against the row. refusals: earlier ones that were
    refused. rejected, wasted: earlier answers that were none, and their tokens. seen: results and throttled attempts that
    the gate had seen when the row began to wait for this one. number: counts the run's attempts in the order in which they
    leave.
    """

    job: Job
    attempt: int
    grant: Grant | None
    strikes: int = 0
    refusals: int = 0
    seen: tuple[int, int] = (0, 0)
    number: int = 0
    rejected: int = 0
    wasted: Usage = NO_USAGE


class Verdict(Enum):
    """What came of an attempt, as the gate needs to know it."""

    DONE = auto()  # the outcome has gone on
    RETRY = auto()  # the row comes back at `retry_at`
    REFUSED = auto()  # the gate decides: the row's own, or the key's
    EXHAUSTED = auto()  # the run must stop


class Report(Struct, eq=False, gc=False):
    """What a worker tells the gate at the end of every attempt.

    retry_at: clock, for RETRY. pause_until: clock before which nobody may send, or None. tokens: what the attempt
    really cost, or None if unknown. failure: what to write if it is the row's own fault, where the gate is to judge that:
    for REFUSED and EXHAUSTED, and for a row whose attempts ran out while the provider throttled it or was out of reach (RETRY).
    answered: the provider gave this attempt a real result. throttled, rate_limited, unreachable: as in `Trouble`.
    maybe_sent: no answer came, yet it may have been billed. rejected, wasted: as in `Ticket`, with this attempt counted.
    """

    ticket: Ticket
    verdict: Verdict
    answered: bool = False
    throttled: bool = False
    rate_limited: bool = False
    unreachable: bool = False
    maybe_sent: bool = False
    tokens: int | None = None
    sent_at: float | None = None
    retry_at: float = 0.0
    pause_until: float | None = None
    failure: Failure | None = None
    rejected: int = 0
    wasted: Usage = NO_USAGE


class Notice(Enum):
    """What the gate is told that is neither a job nor a report."""

    END_OF_INPUT = auto()
    STOP = auto()  # let nothing more leave; what is in flight may finish


GateMessage = list[Job] | Report | Notice

"""What observers are told: one record for each attempt that ended, and events of the run and its lanes.

They are made only if somebody listens, and never hold a body or a key. Clocks (`at`, `left`, `ended` and the like) are the event
loop's, in seconds; `RunBegan` says which time of day they correspond to. `lane` is a lane's name, "" where there is only one.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class AttemptResult(Enum):
    """What an attempt led to for its row.

    ANSWERED: the row has its result. RETRIED: the row is tried again. FAILED: the row has failed. UNDECIDED: whether the row is
    at fault depends on what other rows meet; it is tried again, or fails, later.
    """

    ANSWERED = "answered"
    RETRIED = "retried"
    FAILED = "failed"
    UNDECIDED = "undecided"


class AttemptRecord(Struct, frozen=True, gc=False):
    """One attempt, made when it has ended.

    index, custom_id: of its row. attempt: 1 for the row's first. number: counts the attempts of the lane in the order in which they
    left, from 0. held_by: the bound that the gate waited for before it let the attempt leave, as in the summary's `limited_by`; ""
    if it waited for nothing.

    turn: clock when the row was first the next one to leave; `ended - turn` is how long the row took, without the time that it
    waited behind others. left: clock when the gate let the attempt leave. sent: when the last byte of the request had left.
    first_token: when the first token of a stream arrived. ended: when the answer was there. None where that is not known.

    code, message: what went wrong, as failures are counted, such as `http_429` or `timeout`; "" for an answer. request_id: the
    provider's, for failures. retry_in: seconds until the row may leave again, if it is retried. wait_seconds: what the provider
    asked for. throttled: the provider had too much to do, or a rate limit was met. maybe_sent: no answer came, but the attempt
    may have been billed.

    estimated_tokens: what was reserved of a limit on tokens; 0 where no limit counts them. cost: in the currency of the prices; None
    where no price is known. request_bytes, response_bytes: of the bodies, decoded.
    """

    index: int
    custom_id: str
    attempt: int
    lane: str
    number: int
    held_by: str
    turn: float
    left: float
    sent: float | None
    first_token: float | None
    ended: float
    result: AttemptResult
    status: int | None = None
    code: str = ""
    message: str = ""
    request_id: str | None = None
    retry_in: float | None = None
    wait_seconds: float | None = None
    throttled: bool = False
    maybe_sent: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    estimated_tokens: int = 0
    cost: float | None = None
    request_bytes: int = 0
    response_bytes: int = 0


class RunBegan(Struct, frozen=True, gc=False):
    """The first event of every run. utc: seconds since the epoch at the clock `at`."""

    at: float
    utc: float


class RunStopping(Struct, frozen=True, gc=False):
    """Nothing more leaves. reason: in words. in_flight: attempts that may still finish."""

    at: float
    reason: str
    in_flight: int


class Paused(Struct, frozen=True, gc=False):
    """The provider asked everybody to wait. seconds: from now on. message: in whose answer."""

    at: float
    seconds: float
    message: str
    lane: str = ""


class PaceChanged(Struct, frozen=True, gc=False):
    """The most requests that may leave a second is another, or has another reason. It is looked at about once a second.

    per_second: None if nothing but `max_in_flight` bounds them. why: in words.
    """

    at: float
    per_second: float | None
    why: str
    lane: str = ""


class LaneOut(Struct, frozen=True, gc=False):
    """A lane takes no rows. reason: in words. next_try_in: seconds until it is probed; None if it is out for good."""

    at: float
    reason: str
    next_try_in: float | None = None
    lane: str = ""


class LaneBack(Struct, frozen=True, gc=False):
    """A lane takes rows again. out_seconds: how long it took none."""

    at: float
    out_seconds: float
    lane: str = ""


RunEvent = RunBegan | Paused | PaceChanged | LaneOut | LaneBack | RunStopping

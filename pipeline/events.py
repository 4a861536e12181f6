"""What happens in a run, told to whoever observes it. An event is made only if somebody listens, and never holds a body or a key.

`at` is the event loop's clock in seconds. `lane` is a lane's name, "" where there is only one.
"""

from __future__ import annotations

from msgspec import Struct


class AttemptFailed(Struct, frozen=True, gc=False):
    """An attempt brought no result.

    code: as failures are counted by, such as `http_429` or `timeout`. message: what was said of it, on one line. retry_in: seconds
    until the row may be tried again; None if this was its last attempt, or if others decide whose fault it was.
    """

    at: float
    index: int
    custom_id: str
    attempt: int
    code: str
    message: str
    retry_in: float | None = None
    lane: str = ""


class Paused(Struct, frozen=True, gc=False):
    """The provider asked everybody to wait. seconds: from now on. message: in whose answer."""

    at: float
    seconds: float
    message: str
    lane: str = ""


class PaceChanged(Struct, frozen=True, gc=False):
    """What may leave at most has changed. per_second: requests; None is no bound. why: in words."""

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


RunEvent = AttemptFailed | Paused | PaceChanged | LaneOut | LaneBack

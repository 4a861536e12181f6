"""Why a lane does not work and what to do about it, in words. Pure text; decides nothing.

Each sentence names what is at fault (host and port, variable, model or setting) and the way out. None holds a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.pacing.refusals import gist_of
from pipeline.records import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.refusals import Stop

PAYMENT_REQUIRED = 402
LATER = "the rows that waited are not written; the same command goes on with them"


class Waiting:
    """What a run waits for while nothing works. It stays the same until another cause is met, so that nobody reads it twice."""

    def __init__(self) -> None:
        self._causes: tuple[str, ...] = ()
        self._told = ""

    def told(self, usable: Sequence[LaneState], now: float) -> str:
        """The causes in words, or "" while a lane works. usable: the lanes that may still come back."""
        if not usable or any(state.refused is None and not state.health.is_down(now) for state in usable):
            self._causes = ()
            return ""
        causes = tuple(gist_of(state.refused or state.health.cause) for state in usable)
        if causes != self._causes:
            self._causes = causes
            self._told = "; ".join(waiting(state, now) for state in usable)
        return self._told


def waiting(state: LaneState, now: float) -> str:
    """What the run waits for."""
    if state.refused is not None:
        return state.refused
    left = max(0.0, state.health.trouble.deadline - now)
    return f"{_named(state, state.health.cause)}; waiting up to {duration(left)}"


def patience(state: LaneState, now: float, patience: float) -> str:
    """Why the run stops after nothing has worked for too long."""
    since = now - (state.health.trouble.since or now)
    before = "" if state.health.trouble.worked else ", a fifth of it before the first answer"
    told = f"nothing has worked for {duration(since)} (retry.patience_seconds: {patience:g}{before})"
    return f"{_named(state, state.health.cause)}; {told}; {LATER}"


def silence(state: LaneState) -> str:
    """What is said of a lane that takes requests and answers none."""
    oldest = len(state.health.flying)
    return f"{state.host} has stopped answering ({oldest} requests wait for an answer)"


def long_wait(state: LaneState, cause: str, wait: float, *, others: bool) -> str:
    """Why a lane takes no rows whose provider asks for more time than the run may wait. others: lanes that go on meanwhile."""
    then = "it is tried again then" if others else "run the same command after that"
    return f"{_named(state, cause)}; it asks to wait {duration(wait)}, longer than retry.patience_seconds; {then}"


def refusal(state: LaneState, stop: Stop) -> str:
    """Why a lane is out that gives every row the same answer."""
    report = stop.report
    said = _named(state, report.message)
    rows = "one row" if stop.rows == 1 else f"{stop.rows} rows in a row"
    if report.cause is not None:
        return f"{said}; {LATER}"
    if report.scope is Scope.QUOTA or report.status == PAYMENT_REQUIRED:
        account = f"nothing is left in the account at {state.host}{_with_key(state)}"
        return f"{said}; {account}: raise its limit or top it up, then run the same command"
    if report.scope is Scope.KEY:
        return f"the provider refused {rows}: {said}; {_check_key(state)}"
    if report.scope is Scope.SETUP:
        return f"{rows} got: {said}; check the model and the url of the request, and {state.setting}.base_url ({state.host})"
    return f"{rows} got the same answer and none succeeded: {said}; if these rows are to fail, set retry.stop_after to null"


def duration(seconds: float) -> str:
    """A time as people say it: 5 s, 2 min, 1 h 30 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _check_key(state: LaneState) -> str:
    if state.key is None:
        return f"no key was sent, because {state.setting}.api_key_env is not set: name the variable that holds the key there"
    return f"check the key in {state.key} ({state.setting}.{state.key_setting})"


def _with_key(state: LaneState) -> str:
    return "" if state.key is None else f" (key in {state.key})"


def _named(state: LaneState, said: str) -> str:
    return f"{state.name}: {said}" if state.name else said

"""Which lane an attempt leaves on: the one that lets it leave soonest. Pure: `now` is an argument.

A lane is a key, an endpoint and a model, with limits, workers and health of its own. The gate asks for one row after the
other; what no lane lets leave waits, and `Hold` says for how long and for what.

Among lanes that would let the row leave now, a probe that is due goes first, then the lower `priority` number, then the
larger share that `weight` still gives, then the faster answers. A row that a lane has just failed goes to another one,
as long as one is in use.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from pipeline.core.pacing.health import State
from pipeline.core.pacing.lane_state import IN_FLIGHT, LANE_OUT, Hold
from pipeline.core.pacing.meter import Bound
from pipeline.core.pacing.waits import NO_ROW, STANDBY
from pipeline.core.rows.asked import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.pacing.findings import Learned
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.messages import Ticket
    from pipeline.records import Job


class Lanes:
    """All lanes of a run.

    fallback_after_seconds: how long a row waits for a lane of higher priority before it takes another. admit: lets a row's attempt
    leave on the best lane, and fills in its ticket; or says what holds it back. most_in_flight: over all lanes; None is as many
    as all of them have workers. alone: the lane, if there is only one.
    """

    def __init__(self, lanes: Sequence[LaneState], *, most_in_flight: int | None = None, fallback_after_seconds: float = 0.0) -> None:
        self.states = list(lanes)
        self.alone: LaneState | None
        self._blocked: dict[int, float] = {}  # since when no lane of a priority lets a row leave
        self.admit: Callable[[float, Ticket], Hold | None]
        self.change(most_in_flight=most_in_flight, fallback_after_seconds=fallback_after_seconds)

    def change(self, added: Sequence[LaneState] = (), *, most_in_flight: int | None = None, fallback_after_seconds: float = 0.0) -> None:
        """Go on with more lanes, or after something about a lane was changed. A lane keeps its index, so none is ever taken away."""
        self.states.extend(added)
        workers = sum(state.workers for state in self.states if state.usable)
        self.most_in_flight = workers if most_in_flight is None else min(most_in_flight, workers)
        # A lane that is alone need not be chosen.
        self.alone = self.states[0] if len(self.states) == 1 else None
        self.admit = self._choose if self.alone is None else self.alone.admit
        self._scarce = self.most_in_flight < workers
        self._fallback = fallback_after_seconds
        self._weighted = len({state.weight for state in self.states}) > 1

    def look(self, now: float) -> None:
        """Count how many attempts may leave on each lane; call it before the first `admit` at a `now`."""
        for state in self.states:
            state.look(now)
            state.waits.asked = ""
        if self._scarce:
            self._share(self.most_in_flight - self.in_flight)

    def _share(self, free: int) -> None:
        """Let no lane take more than what is free, nor what faster lanes still need to keep up their rate."""
        needed = 0.0
        for state in sorted(self.states, key=lambda each: each.health.latency.mean):
            state.free = min(state.free, max(0, int(free - needed)))
            if state.working:
                needed += max(0.0, state.rate * state.health.latency.mean - len(state.health.flying))

    def explain(self, bound: str) -> None:
        """Note what holds each lane back until the next round. bound: what holds the run back."""
        if self.alone is not None:
            self.alone.waits.bound = bound
            return
        for state in self.states:
            if not state.working:
                state.waits.bound = LANE_OUT
            elif bound in NO_ROW:
                state.waits.bound = bound
            else:
                state.waits.bound = state.waits.asked or (IN_FLIGHT if state.free <= 0 else STANDBY)

    def learned(self) -> dict[str, Learned]:
        """What was found out about the limits of each lane, by its name."""
        found = {state.name: state.limits.learned for state in self.states}
        return {name: learned for name, learned in found.items() if learned is not None}

    def go_on_from(self, before: Lanes) -> None:
        """Go on with what the flow before knows of the same lanes."""
        for state, earlier in zip(self.states, before.states, strict=True):
            state.go_on_from(earlier)

    def recall(self, learned: Mapping[str, Learned], now: float) -> None:
        """Go on from what an earlier run found out, where nothing newer is known."""
        for state in self.states:
            if state.name in learned and state.limits.learned is None:
                state.limits.restore(learned[state.name], now)

    def refuses(self, tokens: int, output_tokens: int = 0) -> str | None:
        """Why a request of this many tokens could never pass any lane, or None if one will let it. output_tokens: the answer's part."""
        reason = None
        for state in self.states:
            reason = state.limits.refuses(tokens, output_tokens)
            if reason is None:
                return None
        return reason

    def refuses_job(self, job: Job) -> str | None:
        """The same of a row, by what has been learned of the tokens of its model."""
        reason = None
        for state in self.states:
            if not state.limits.counts_tokens:
                return None
            reason = state.refuses(job)
            if reason is None:
                return None
        return reason

    def _choose(self, now: float, ticket: Ticket) -> Hold | None:
        job = ticket.job
        fitting = [state for state in self.states if state.out is None and state.refuses(job) is None]
        if not any(state.working for state in fitting) and any(state.working for state in self.states):
            return self._park(now, ticket, fitting)
        others = any(state.working and state.index != ticket.avoid for state in fitting)
        held: Hold | None = None
        never: Hold | None = None
        avoided: LaneState | None = None
        blocked: int | None = None  # the priority that has said no
        for state in sorted(fitting, key=self._preference):
            if blocked is not None and state.priority > blocked and not self._falls_back(now, blocked, held):
                break
            if state.index == ticket.avoid and others:
                avoided = state
                continue
            hold = state.admit(now, ticket)
            if hold is None:
                self._blocked.pop(state.priority, None)
                return None
            if hold.never is not None:
                never = hold
                continue
            state.waits.asked = hold.bound
            held = hold if held is None else _sooner(held, hold)
            if state.working:
                blocked = state.priority
        if avoided is not None and held is None and never is not None:
            return avoided.admit(now, ticket)  # no other lane can pay for it
        if avoided is not None and avoided.free > 0 and (held is None or held.wake == inf):
            return Hold(inf, IN_FLIGHT, avoided=True)
        return held or never or Hold(inf, LANE_OUT)

    def _park(self, now: float, ticket: Ticket, fitting: Sequence[LaneState]) -> Hold | None:
        """Probe a lane with a row that is too large for those that work, or say that it waits for such a lane."""
        wake = inf
        for state in fitting:
            hold = state.admit(now, ticket)
            if hold is None:
                return None
            wake = min(wake, hold.wake)
        never = None
        if all(state.out is not None or state.health.expired(now) for state in fitting):
            causes = {f"{state.name}: {state.out or state.health.cause}" for state in self.states if not state.working}
            needs = f"{ticket.job.custom_id} needs {counted(ticket.job).tokens} tokens"
            never = f"{needs}, and no lane that allows so many works ({'; '.join(sorted(causes))})"
        return Hold(wake, LANE_OUT, parked=True, never=never)

    @property
    def in_doubt(self) -> bool:
        """Whether a row that has not failed yet should leave next: it shows more about a lane that has just failed others.

        A lane that is held shows nothing while no probe may leave, and rows that it has failed need not wait for it.
        """
        return any(state.in_doubt for state in self.states) if self.alone is None else self.alone.in_doubt

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return sum(len(state.health.flying) for state in self.states)

    def _preference(self, state: LaneState) -> tuple[bool, int, float, float]:
        probe = state.health.state is State.HELD and state.free > 0
        share = state.attempts / state.weight if self._weighted else 0.0
        return not probe, state.priority, share, state.health.latency.mean

    def _falls_back(self, now: float, priority: int, held: Hold | None) -> bool:
        """Whether a row need not wait any longer for a lane of this priority."""
        if self._fallback <= 0:
            return True
        since = self._blocked.setdefault(priority, now)
        return now - since >= self._fallback or (held is not None and now + self._fallback < held.wake < inf)


_NAMED_LAST = {Bound.PAUSE.value: 1, LANE_OUT: 2}  # what works less is named only where nothing works better


def _sooner(one: Hold, other: Hold) -> Hold:
    """Two lanes hold the same row back: ask again when the first may let it leave, and name the cause on the one that works best."""
    first, second = (one, other) if one.wake <= other.wake else (other, one)
    named = min(first, second, key=lambda hold: _NAMED_LAST.get(hold.bound, 0))
    return first if named is first else Hold(first.wake, named.bound)

"""A worker's side of one lane: what it reports of it to the coordinator, and what it does with the answer. `now` is an argument.

A lane reports only what it has found out by itself, and nothing that it was told. Otherwise a pause that ends would be passed around
among the workers, each time a little later, and a lane that one of them holds would be held by all for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.cluster.talk import LaneNews, LaneReport
from pipeline.core.pacing.health import State
from pipeline.core.pacing.leased import LeasedLane

if TYPE_CHECKING:
    from pipeline.core.cluster.talk import LaneAnswer
    from pipeline.core.pacing.findings import Learned
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.permits import Permits

SAME_PAUSE_SECONDS = 0.1  # a pause that is longer than the one that was told by less is that one
OTHERS_SECONDS = 5.0  # for which the others are left to probe the lane, unless they say so again
SHUT_SECONDS = 0.5  # for which nothing leaves while another one finds a limit shut, unless it is said again; answers come more often
WORTH_TELLING_SECONDS = 0.5  # a limit that is shut for less has opened by the time that the others hear of it
CHANGED = 0.3  # of what is used: so much more or less is said at once
ALIKE = 0.2  # a pace that differs by less from what is used already changes nothing


class LinkedLane:
    """One lane of one flow."""

    def __init__(self, state: LaneState) -> None:
        assert isinstance(state.limits, LeasedLane)
        self.state = state
        self.lane: LeasedLane = state.limits
        self._joins = True
        self._told_pause = 0.0
        self._told_held = self._told_out = ""
        self._told_shut = False
        self._said = ("", False, "", False)  # what was found out, as of the last report
        self._succeeded = 0  # results, as of the last answer
        self._reported = 0  # results, as of the last report
        self._reported_keys = 0  # rows whose key was refused, likewise
        self._bound, self._rates = True, list[float]()

    def report(self, now: float) -> tuple[float, LaneReport]:
        """What to say of the lane, and when it was so."""
        state, lane = self.state, self.lane
        demand = lane.demand(now)
        self._reported, self._reported_keys = state.succeeded, state.refusals.keys
        self._bound, self._rates = demand.bound, demand.rates
        pause = lane.paused_until - now
        held, shut, out, _ = self._said = self._found(now)
        news = LaneNews(
            pause=pause if lane.paused_until > self._told_pause + SAME_PAUSE_SECONDS else 0.0,
            held=held,
            shut=shut,
            out=out,
            learned=lane.learned,
            alike=state.refusals.in_a_row,
            succeeded=state.succeeded,
            worked=state.health.trouble.worked,
        )
        return now, LaneReport(demand, self._joins, state.workers if not self._joins else 0, len(state.health.flying), news)

    def look(self, now: float) -> bool:
        """Look at the lane between two reports; whether it wants something else than it has reported."""
        bound, rates = self.lane.is_bound(now), self.lane.rates(now)
        if bound != self._bound or any(self.lane.wanted_back) or self._found(now) != self._said:
            return True
        if self.state.refusals.keys > self._reported_keys:
            return True
        return not bound and any(abs(rate - was) > CHANGED * was + 2 for rate, was in zip(rates, self._rates, strict=False))

    def hear(self, answer: LaneAnswer, valid_until: float, now: float) -> None:
        """Do as was told."""
        state, lane = self.state, self.lane
        self._joins = False
        lane.receive(answer.reply, now, max(lane.valid_until, valid_until))
        if answer.slots != state.workers or not lane.has_slots(answer.slots):
            state.workers = answer.slots
            lane.retune((), now, slots=answer.slots)
        if answer.pause > 0:
            self._told_pause = max(self._told_pause, now + answer.pause)
            lane.pause(now + answer.pause)
        works = state.succeeded > self._succeeded  # what others met may be their own node's trouble
        self._succeeded = state.succeeded
        self._add_results(answer)
        if answer.held and not works and state.usable:
            if state.health.state is not State.HELD:
                state.hold(now, answer.held)
            self._told_held = answer.held
            state.health.leave_probes_to_others(now + OTHERS_SECONDS)
        elif self._told_held and not answer.held:
            self._told_held = ""
            state.health.resume()
        self._told_shut = answer.shut
        if answer.shut:
            self._told_pause = max(self._told_pause, now + SHUT_SECONDS)
            lane.pause(now + SHUT_SECONDS)
        lane.share_announced(answer.share, now)
        if answer.out and state.usable:
            self._told_out = answer.out
            state.retire(answer.out)
        if answer.learned is not None and not self._is_known(answer.learned):
            lane.share_found(answer.learned, now)

    def _add_results(self, answer: LaneAnswer) -> None:
        state, refusals = self.state, self.state.refusals
        if answer.worked:
            state.has_worked()
        agree = state.succeeded == self._reported  # what was added up had no success between
        refusals.add_others(answer.alike if agree else {}, in_doubt=answer.in_doubt)
        refusals.note_key(0 if answer.key_in_doubt else self._reported_keys, refused=answer.key_refused and agree)
        if refusals.told is not None:
            state.unhandled = True

    def _found(self, now: float) -> tuple[str, bool, str, bool]:
        """What this worker has found out by itself.

        Why it holds the lane, whether it waits for a limit to open, why the lane is out, whether it needs a word of the others to stop.
        """
        state = self.state
        held = state.health.state is State.HELD
        return (
            state.health.cause or "it does not work" if held and not self._told_held else "",
            state.limits.shut_since < now - WORTH_TELLING_SECONDS and not self._told_shut,
            state.out or "" if not self._told_out else "",
            state.refusals.in_doubt,
        )

    def last(self) -> LaneNews:
        """What was found when the flow has ended."""
        state = self.state
        return LaneNews(alike=state.refusals.in_a_row, succeeded=state.succeeded, worked=state.health.trouble.worked)

    def drop(self, now: float) -> list[Permits]:
        """Hold nothing any more; what it held. It joins anew with the next report."""
        self._joins = True
        self.lane.valid_until = now
        self.lane.end()
        return self.lane.give_all_back(now)

    def _is_known(self, told: Learned) -> bool:
        own = self.lane.learned
        if own is None or own.requests_per_minute is None or told.requests_per_minute is None or own.in_flight != told.in_flight:
            return False
        return abs(own.requests_per_minute - told.requests_per_minute) < ALIKE * told.requests_per_minute

"""Whether a lane works: decided from what the attempts on it met, before any row is blamed. Pure: `now` is an argument.

Theory of operation. A lane is in one of three states:

    WORKING ──(failures in a row, or silence)──► HELD ──(a probe is answered)──► RETURNING ──(enough answers)──► WORKING
       ▲                                          │ ▲                                │
       └────────(a slow answer after silence)─────┘ └──────────(it fails again)──────┘

Every attempt has a number; numbers count the departures of the lane, so "later" means "left later". Evidence is judged by
departure: an answer to what left before a failure began says nothing about the time after it.

*Failures.* Only a row's first attempt counts: a row that the server can never answer fails on every retry, and its retries
say nothing about the lane. So rows that always get a 500 do not hold a lane, even if a fifth of the file is like that.

*Silence.* A server that accepts requests and answers none would only be noticed when the deadlines pass. A lane knows how
long its answers take: if of the last ten departures that are older than nearly all answers took, eight are not back, it is
silent. One slow answer after that proves that it is slow and not dead.

*Held.* One attempt at a time may leave as a probe, after 1, 2, 4, 8 seconds. An answer to a probe lets the lane return: two
attempts in flight, then one more with every answer, so twice as many each round trip.

*Outages.* From the first failure to the first answered probe is an outage, kept as a range of numbers. A failure within an
outage does not count against its row.
"""

from __future__ import annotations

from enum import Enum, auto
from math import inf
from typing import TYPE_CHECKING

from pipeline.core.pacing.first_attempts import FirstAttempts
from pipeline.core.pacing.history import Outage
from pipeline.core.pacing.latency import Latency
from pipeline.core.pacing.probing import Probes
from pipeline.core.pacing.streak import Streak
from pipeline.core.pacing.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.messages import Report

IN_A_ROW = 10  # rows that fail one after the other; by chance with 20 % bad rows: once in 10 million
IN_A_ROW_BESIDE_OTHERS = 5  # while another lane works well: that one can take the rows meanwhile
FIRST_IN_A_ROW = 3  # before anything was ever answered
UNREACHABLE_IN_A_ROW = 3  # no connection at all: no row can be the reason for that
RETURNED = 16  # attempts in flight from which on a lane that returns is judged like any other
STILL_ANSWERS_SECONDS, STILL_ANSWERS_TIMES = 0.5, 3.0  # or so many times the time between results: one so long ago shows that it works
OUTAGES = 64  # that are remembered
WORTH_A_WORD_SECONDS = 3.0  # refusals by a limit, and nothing else, for so long


class State(Enum):
    """Whether a lane may be used."""

    WORKING = auto()
    HELD = auto()
    RETURNING = auto()


class Health:
    """The health of one lane.

    patience: as `Trouble` takes it. first: the latest first attempts. trouble: for how long it has not worked.
    served: at least an answer that shows that the server is there. last_good: the highest number of an attempt that was
    answered so.
    flying: departure clock by number of what is in flight, oldest first. cause: of the latest failure, in words.
    held_from: number of the first departure after the lane was held. is_calm: there is nothing that a good answer would change.
    """

    __slots__ = (
        "_answered_at", "_cap", "_newest_failure", "_old", "_outages", "_probes", "_returned_at", "_silent", "_streak",
        "cause", "departures", "first", "flying", "held_from", "is_calm", "last_good", "latency", "served", "state", "trouble",
    )  # fmt: skip

    def __init__(self, patience: float = 600.0) -> None:
        self.state = State.WORKING
        self.cause = ""
        self.served = False
        self.departures = 0
        self.flying: dict[int, float] = {}
        self.latency = Latency()
        self.last_good = -1
        self.trouble = Trouble(patience)
        self.held_from = 0
        self._newest_failure = -1  # highest number of an attempt that failed as others' probably do
        self.is_calm = True
        self.first = FirstAttempts()
        self._answered_at = -inf  # clock of the latest result
        self._streak = Streak()
        self._outages: list[Outage] = []
        self._silent = False  # it is held because it fell silent
        self._cap = 0  # attempts in flight while it returns
        self._returned_at = 0  # number of the probe that was answered last
        self._old = 0  # in flight since before it was held
        self._probes = Probes()

    # ---- what may leave ---------------------------------------------------------------------------------------------

    def slots(self, now: float, workers: int) -> int:
        """How many more attempts may leave now, of `workers` that may be in flight."""
        spare = workers - len(self.flying)
        if self.state is State.RETURNING:
            if self._cap < workers:
                return min(spare, self._cap - len(self.flying) + self._old)
            self.state = State.WORKING
        if self.state is State.WORKING:
            return spare
        return min(spare, 1 if now >= self.next_probe() else 0)

    def next_probe(self) -> float:
        """When the next probe may leave, while the lane is held."""
        return self._probes.next_at(self.latency.p95)

    def departed(self, now: float) -> int:
        """Note that an attempt leaves; gives its number."""
        number = self.departures
        self.departures = number + 1
        self.flying[number] = now
        if self.state is State.HELD:
            self._probes.departed(number, now)
        return number

    def departed_together(self, count: int, now: float) -> int:
        """The same of several attempts on a lane that is not held; gives the number of the first."""
        first = self.departures
        self.departures = first + count
        self.flying.update(dict.fromkeys(range(first, first + count), now))
        return first

    # ---- what came of it --------------------------------------------------------------------------------------------

    def succeeded(self, number: int, now: float, *, first: bool) -> None:
        """Note a result."""
        self.latency.add(now - self.flying.pop(number))
        self._answered_at = now
        if not self.trouble.worked:
            self.trouble.worked = self.served = True
        if number > self.last_good:  # noqa: PLR1730  `max` costs three times as much, and this is paid for every row
            self.last_good = number
        if not self.is_calm:
            self._better(number, first=first)

    def answered_together(self, reports: Sequence[Report], now: float) -> None:
        """Note several results, while there is nothing that a good answer would change: `is_calm`."""
        took, back, last = self.latency.add, self.flying.pop, self.last_good
        for report in reports:
            number = report.ticket.number
            took(now - back(number))
            if number > last:  # noqa: PLR1730  as in `succeeded`
                last = number
        self.last_good, self._answered_at = last, now
        self.trouble.worked = self.served = True

    def answered(self, number: int, *, first: bool) -> None:
        """Note a failure that shows that the server does its work, such as a 400 for a row's own mistake."""
        del self.flying[number]
        self.served = True
        self.last_good = max(self.last_good, number)
        if not self.is_calm:
            self._better(number, first=first)

    def refused(self, number: int) -> None:
        """Note an answer that says nothing about the server: the key was refused, a redirect, nothing left in the account."""
        self._ended(number)
        self._probes.says_nothing(number)

    def limited(self, number: int, now: float, wait: float | None, cause: str, *, first: bool) -> None:
        """Note that a rate limit refused an attempt. The lane's pace follows it; here it only counts as "nothing works"."""
        self._ended(number)
        self._failed_at(number, now, wait, cause)
        if first:
            self.first.limited.add(1)
        if self.state is State.HELD and number >= self.held_from:
            self._return(number)  # the server is there

    def failed(
        self, number: int, row: int, now: float, wait: float | None, cause: str, *, first: bool, unreachable: bool, others: bool
    ) -> bool:
        """Note a failure that other rows probably meet too; True if the lane is held from now on.

        wait: what the provider asks for, in seconds. unreachable: no server had a part in it. others: another lane works.
        """
        took = now - self._ended(number)
        self._failed_at(number, now, wait, cause)
        self._newest_failure = max(self._newest_failure, number)
        if first:
            self.first.failed.add(1)
        if self.state is State.HELD:
            if number >= self.held_from:
                self._probes.failed(number, now, self.trouble.told_until)
            return False
        if number < self.last_good:
            return False
        if first or unreachable:
            self._streak.add(row, number, took)
        if not self._too_many(unreachable=unreachable, others=others) or self._streak.others_wait(now, self.flying, self.departures):
            return False
        self._hold(now)
        return True

    def hold(self, now: float, cause: str) -> None:
        """Hold the lane for a reason that was found elsewhere, or go on holding it."""
        self._failed_at(self.last_good + 1, now, None, cause)
        self._newest_failure = self.departures - 1
        if self.state is State.HELD:
            self._probes.failed(self._probes.number, now, self.trouble.told_until)
        else:
            self._hold(now)

    def has_worked(self) -> None:
        """It has given results to others."""
        self.trouble.worked = self.served = True

    def leave_probes_to_others(self, until: float) -> None:
        """Another process probes for all, and says before this clock whether it still does."""
        self._probes.leave_to_others(until)

    def resume(self) -> None:
        """The process that probed for all found that the lane works again, or has ended: begin with few attempts, as after a probe."""
        if self.state is State.HELD:
            self._return(self.departures)

    def tick(self, now: float, *, full: bool = False, others: float = inf) -> bool:
        """Look at the clock, about once a second; True if the lane has fallen silent and is held from now on.

        full, others: as `Latency.is_silent` takes them.
        """
        self.latency.look(now, self.departures)
        if self.state is State.HELD or not self.latency.is_silent(now, self.flying, self._returned_at, full=full, others=others):
            return False
        self._failed_at(self.last_good + 1, now, None, "")
        self._silent = True
        self._newest_failure = self.departures - 1
        self._hold(now)
        return True

    # ---- what it means for a row ------------------------------------------------------------------------------------

    def in_outage(self, number: int) -> bool:
        """Whether an attempt left while the lane did not work."""
        return any(outage.first <= number < outage.end for outage in self._outages)

    @property
    def in_doubt(self) -> bool:
        """Whether rows have failed since the last good answer."""
        return bool(self._streak)

    @property
    def never_fails(self) -> bool:
        """Whether none of the late first attempts failed as others' probably do."""
        return self.state is State.WORKING and not self.first.failed.bits

    def still_answers(self, now: float) -> bool:
        """Whether there was a result so short a while ago that others are surely being answered."""
        between = self.latency.mean / max(1, len(self.flying))
        return now - self._answered_at <= max(STILL_ANSWERS_SECONDS, STILL_ANSWERS_TIMES * between)

    def is_down(self, now: float) -> bool:
        """Whether the lane is held, or has refused all because of a limit for a while."""
        since, limited = self.trouble.since, self.first.limited.bits or self.trouble.told_until > now
        return self.state is State.HELD or bool(limited and since is not None and now - since >= WORTH_A_WORD_SECONDS)

    def expired(self, now: float) -> bool:
        """Whether the lane has not worked for too long."""
        return self.trouble.expired(now, next(iter(self.flying.values()), inf))

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _ended(self, number: int) -> float:
        if number < self.held_from and self._old:
            self._old -= 1
        return self.flying.pop(number)

    def _better(self, number: int, *, first: bool) -> None:
        if number < self.held_from and self._old:
            self._old -= 1
        if first:
            self.first.answered()
        if self._streak:
            self._streak.answered(number)
        if self.state is State.RETURNING:
            self._cap += 1
        elif self.state is State.HELD:
            if number > self._newest_failure:
                self._return(number)
            elif self._silent:
                self._never_mind()
        if self.state is not State.HELD:
            self.trouble.answered(number)
        open_questions = self.first.any_failed or self._streak or self._old or self.trouble.since is not None
        self.is_calm = self.state is State.WORKING and not open_questions

    def _failed_at(self, number: int, now: float, wait: float | None, cause: str) -> None:
        self.is_calm = False
        if number <= self.last_good:
            return
        self.cause = cause
        self.trouble.failed(number, now, wait)

    def _too_many(self, *, unreachable: bool, others: bool) -> bool:
        count = len(self._streak)
        if unreachable and (count >= UNREACHABLE_IN_A_ROW or not self.served):
            return True
        if not self.served:
            return count >= FIRST_IN_A_ROW
        soon = others or (self.state is State.RETURNING and self._cap < RETURNED)
        return count >= (IN_A_ROW_BESIDE_OTHERS if soon else IN_A_ROW) or self.first.too_many_failed

    def _hold(self, now: float) -> None:
        self._probes.begin(now, self.trouble.told_until, anew=self.state is not State.RETURNING)
        self.state = State.HELD
        self._outages = [*self._outages[-OUTAGES:], Outage(self.last_good + 1)]
        self.held_from = self.departures
        self._old = len(self.flying)

    def _return(self, number: int) -> None:
        self.state = State.RETURNING
        self._returned_at = self.held_from = number
        self._old = sum(each < number for each in self.flying)
        self._outages[-1].end = number
        self._cap = 2
        self.first.failed.clear()
        self._streak.clear()
        self._probes.answered()

    def _never_mind(self) -> None:
        """It was slow and not dead."""
        self._outages.pop()
        self.state = State.WORKING
        self.trouble.since = None
        self._streak.clear()
        self._old = 0
        if self._silent:
            self.latency.forget()
        self._silent = False

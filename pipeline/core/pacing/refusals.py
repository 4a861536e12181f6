"""Decides whether a permanent failure is the row's own, or one that every row of the lane would get.

A permanent failure is one that another attempt would not change: a refused key, a model that does not exist, a request that
the provider does not accept. Rows that got one are held here until it is known whose fault it is, so that a stopped run
has written nothing of them and a later one sends them again.

*The lane's* if it is all that the lane gets: enough different rows in a row with the same answer, and no success between.
For a refused key three rows are enough. For any other answer it takes `stop_after` rows that left later than any success,
and what is still in flight is awaited first: nothing more leaves meanwhile (`frozen`). Before the first success, one
attempt at a time leaves (`probing`), so that a provider which refuses everything gets no more requests than were in
flight, or `stop_after`. Where good answers take long and bad ones come at once, attempts that left later and are still in
flight are probably being answered, and nothing is frozen for them.

Where several processes share the lane, what the others met is added (`add_others`), and what they have in flight is awaited too. After
a refused key nothing leaves until the others have been asked, and then one attempt at a time, until an answer shows that the key
works. So N processes do not need three rows each.

*The row's own* if a success shows that the lane still works: that of an attempt which left when the failure had already come. One that
left between the two does not show it, for requests overtake one another on their way: a key that is withdrawn may refuse an earlier one
and answer a later one. The row then comes back, once, from `succeeded` or `idle`. An answer that is neither says nothing and is not told
here.
"""

from __future__ import annotations

from heapq import nlargest
from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.patterns import later
from pipeline.records import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.messages import Report

IN_A_ROW = 3  # one is a row that the provider forbids, two may be a relay's hiccup
WITHOUT_GAP = 5  # attempts that left one after the other: answers still on their way to earlier ones prove nothing
KEY = "key"  # the answers to a refused key, whatever they say
SLOW_SECONDS, SLOW_TIMES = 1.0, 3  # an attempt that takes so much longer than a failure did is probably being answered
FEW_ANSWERS = 8  # that are told to other processes
KEPT = 100  # characters of a message by which answers are compared

_VARYING = later(r"""\S*\d\S*|'[^']*'|"[^"]*"|`[^`]*`""")  # ids, counts and quotations differ from row to row


class Stop(Struct, frozen=True):
    """The lane gives every row this answer. rows: how many got it in a row. report: the last of them."""

    rows: int
    report: Report


class Refusals:
    """Holds the rows of one lane that got a permanent failure.

    workers: the most attempts in flight. A key that never worked must not cost more requests than were in flight, so
    before the first success so few refusals are enough. stop_after: rows with the same answer that stop the run, None for
    never; the key is not asked about that. open: a success would change something. in_doubt: enough rows got the same answer, and it is
    not certain yet that other processes did not succeed, or have not met it too. told: the processes together found that the key is
    refused, and nobody has acted on that yet.
    """

    __slots__ = (
        "_asked", "_beside", "_held", "_in_doubt", "_last_key", "_numbers", "_rows", "_settled", "_shared", "_stop_after", "_succeeded",
        "_workers", "open", "told",
    )  # fmt: skip

    def __init__(self, workers: int, stop_after: int | None = 20) -> None:
        self._workers = workers
        self._stop_after = inf if stop_after is None else stop_after
        self._held: list[tuple[str, Report, int]] = []  # by answer; the first number that could leave when it had come
        self._rows: dict[str, dict[int, int]] = {}  # by answer: rows and their attempts' numbers, since the last success
        self._numbers: set[int] = set()  # of the latest attempts that were refused for their key
        self._succeeded = False
        self._settled: Stop | None = None
        self._beside: Mapping[str, int] = {}  # by answer: rows that other processes add
        self._in_doubt = False
        self._shared = False  # with other processes
        self._asked = 0  # rows whose key was refused, of which the others know and have said what they met
        self._last_key: Report | None = None
        self.open = True
        self.told: Stop | None = None

    @property
    def probing(self) -> bool:
        """Whether only one attempt at a time may leave.

        There was a permanent failure and never a success, or a refused key that other processes have asked about too.
        """
        return (not self._succeeded and bool(self._rows)) or (self._shared and self.keys > 0)

    def frozen(self, now: float, flying: Mapping[int, float]) -> bool:
        """Whether nothing may leave until all that is in flight has ended: enough rows got the same answer.

        flying: departure clock by number of what is in flight.
        """
        if self._asks or self.told is not None:
            return True
        for answer, rows in self._rows.items():
            if answer != KEY and self._together(answer) >= self._stop_after:
                first = min(rows.values())
                slowest = max(
                    (report.failure.latency_seconds for held, report, _ in self._held if held == answer and report.failure), default=0.0
                )
                late = now - SLOW_SECONDS - SLOW_TIMES * slowest
                if not any(left < late for number, left in flying.items() if number > first):
                    return True
        return False

    def hold(self, report: Report, *, keep: bool = True, departures: int = 0) -> Stop | None:
        """Hold a row; Stop if that settles it, and from then on.

        keep: False only counts it, for the row goes elsewhere. departures: attempts that have left by now, the number of the next one.
        """
        answer = _answer_of(report)
        self.open = True
        if keep:
            self._held.append((answer, report, max(departures, report.ticket.number + 1)))
        rows = self._rows.setdefault(answer, {})
        rows[report.ticket.job.index] = report.ticket.number
        if answer == KEY:
            self._last_key = report
        enough = len(rows) >= self._enough(report) or (answer == KEY and self._without_gap(rows, report.ticket.number))
        if self._settled is None and enough:
            self._settled = Stop(len(rows), report)
        return self._settled

    def succeeded(self, number: float = inf) -> list[Report]:
        """Note that the lane worked; rows that were held before that are at fault themselves and come back.

        number: of the attempt, by departure. A key that was withdrawn meanwhile refuses rows that left later than that,
        and the answers that were still on their way say nothing about them.
        """
        self._succeeded = True
        self._beside, self._asked = {}, 0
        if self._settled is not None:
            return []
        self._rows = {
            answer: later
            for answer, rows in self._rows.items()
            if answer != KEY and (later := {row: at for row, at in rows.items() if at >= number})
        }
        own = [report for _, report, since in self._held if since <= number]
        self._held = [each for each in self._held if each[2] > number]
        self.open = bool(self._held or self._rows)
        return own

    def has_worked(self) -> None:
        """The lane has given results to other processes."""
        self._succeeded = True

    def idle(self) -> Stop | list[Report]:
        """Nothing is in flight or queued, so nothing will tell whose fault it was.

        The lane's, if it never worked and refused its key or its setup, or if enough rows got the same answer.
        """
        for answer, rows in self._rows.items():
            last = next((report for held, report, _ in reversed(self._held) if held == answer), None)
            unproven = not self._succeeded and last is not None and last.scope is not Scope.ROW and self._enough(last) < inf
            enough = self._asks if answer == KEY else self._together(answer) >= self._stop_after
            if last is not None and self._settled is None and (unproven or enough):
                if self.in_doubt:
                    return []
                self._settled = Stop(max(len(rows), self._together(answer)), last)
        return self._settled or self.release()

    def add_others(self, rows: Mapping[str, int], *, in_doubt: bool) -> None:
        """Add what other processes met, by answer. in_doubt: the run must not stop for that now, whatever is added up here."""
        self._beside, self._in_doubt, self._shared = rows, in_doubt, True

    def note_key(self, asked: int, *, refused: bool) -> None:
        """Take what other processes say of the key, after `add_others`.

        asked: what `keys` was when all of them had been asked. refused: they and this one have met that so often that the key is refused.
        """
        self._asked = asked
        if refused and self._settled is None and self.keys and self._last_key is not None:
            self._settled = self.told = Stop(self._together(KEY), self._last_key)

    @property
    def keys(self) -> int:
        """Rows whose key was refused since the last success."""
        return len(self._rows.get(KEY, ()))

    @property
    def in_a_row(self) -> dict[str, int]:
        """Rows since the last success by answer, the most frequent ones of those that may stop the run."""
        if not self._rows:
            return {}
        told = nlargest(FEW_ANSWERS, self._rows.items(), key=lambda each: (each[0] == KEY, len(each[1])))
        return {answer: len(rows) for answer, rows in told if answer == KEY or self._stop_after < inf}

    @property
    def in_doubt(self) -> bool:
        """See the class."""
        if not self._held:
            return False
        return self._asks or (self._in_doubt and any(self._together(each) >= self._stop_after for each in self._rows if each != KEY))

    @property
    def _asks(self) -> bool:
        """Whether a key was refused, and other processes have not said yet whether that is so for them too."""
        keys = self.keys
        return self._shared and keys > 0 and self._settled is None and (keys > self._asked or self._together(KEY) >= IN_A_ROW)

    def release(self) -> list[Report]:
        """Give back all that is held."""
        held, self._held = self._held, []
        return [report for _, report, _ in held]

    def renew(self) -> list[Report]:
        """Begin again as if nothing had been held, and give back what was: the lane is to be probed."""
        self._rows.clear()
        self._settled, self._asked = None, 0
        return self.release()

    def _together(self, answer: str) -> int:
        return len(self._rows.get(answer, ())) + self._beside.get(answer, 0)

    def _without_gap(self, rows: dict[int, int], number: int) -> bool:
        """Whether so many attempts that left one after the other were refused, this one among them."""
        self._numbers = {each for each in self._numbers if each > number - 2 * WITHOUT_GAP} | {number}
        first = number
        while first - 1 in self._numbers:
            first -= 1
        last = number
        while last + 1 in self._numbers:
            last += 1
        return self._succeeded and len(rows) > 0 and last - first + 1 >= WITHOUT_GAP

    def _enough(self, report: Report) -> float:
        """How many rows with this answer settle it at once."""
        if report.scope is Scope.ROW:  # an answer too large to hold, say: the row's own, unless so many rows get the same
            return inf
        if report.scope is Scope.QUOTA or (report.cause is not None and not self._succeeded):
            return 1
        if report.scope is Scope.KEY or report.cause is not None:
            return IN_A_ROW if self._succeeded else min(IN_A_ROW, self._workers)
        if report.scope is Scope.SETUP and not self._succeeded and self._stop_after < inf:
            return min(IN_A_ROW, self._workers)
        return inf


def _answer_of(report: Report) -> str:
    """What two rows must have in common to have got the same answer."""
    if report.scope is Scope.KEY:
        return KEY
    return f"{report.scope.value} {report.status} {gist_of(report.message)}"


def gist_of(message: str) -> str:
    """What a message has in common with those that other rows get for the same reason."""
    return _VARYING.sub("#", message)[:KEPT]

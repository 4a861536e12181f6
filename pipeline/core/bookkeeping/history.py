"""What a run keeps for its report: buckets of time with counts and histograms, the slowest rows, and outages of lanes. Pure.

Theory of operation. No attempt is kept. A bucket is a second wide at first. When there would be more than `MOST` of them, neighbours
are folded in two and the width doubles, so that an hour and a week take the same room. Durations are counted in cells that grow by
4.4 %, so a percentile is at most 2.2 % off, and histograms of two buckets add up exactly.

Every run pays for this, so what can be is counted by the group: departures when the gate lets a group leave, answers many at once.
How many attempts were in flight is not counted at all. It follows from what left and ended in a bucket, and from the sums of those
clocks: a bucket that ends at `e` and begins with `level` attempts in flight has seen
`level * width + (sent * e - left_sum) - (ended * e - ended_sum)` seconds of them.

All values are plain, and encoded in one call: a thread may do so while the run goes on.
"""

from __future__ import annotations

from heapq import heappush, heapreplace
from math import inf, log2
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field

from pipeline.events import AttemptResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.events import AttemptRecord
    from pipeline.messages import Report

MOST = 600  # buckets
CELLS = 16  # of a histogram, for every doubling
LEAST_SECONDS = 2.0**-20  # shorter times count as this
LEAST_CELL = -20 * CELLS
LAST_CELL = 32 * CELLS
WIDEST = 2.0**32  # seconds of a bucket
SLOWEST = 200
MARKS = 100
K = TypeVar("K", int, str)
N = TypeVar("N", int, float)
BINS = dict[int, int]  # counts by floor(log2(seconds) * CELLS)


class LaneBucket(Struct, array_like=True):
    """What one lane did in a bucket. codes: attempts without an answer. held: seconds by what the lane waited for. pace: the last one."""

    sent: int = 0
    answered: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)
    pace: float | None = None
    ended: int = 0
    left_sum: float = 0.0
    ended_sum: float = 0.0

    def fold(self, later: LaneBucket) -> None:
        """Take the bucket after this one into it."""
        self.left_sum += later.left_sum
        self.ended_sum += later.ended_sum
        self.sent += later.sent
        self.answered += later.answered
        self.ended += later.ended
        add(self.codes, later.codes)
        add(self.held, later.held)
        self.pace = self.pace if later.pace is None else later.pace


class Bucket(Struct, array_like=True):
    """What happened in a stretch of time. reserved: tokens of the attempts that left, as they were counted against a limit."""

    lanes: dict[str, LaneBucket] = field(default_factory=dict)
    failed: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    reserved: int = 0
    cost: float = 0.0
    attempt: BINS = field(default_factory=dict)
    row: BINS = field(default_factory=dict)
    first_token: BINS = field(default_factory=dict)

    def lane(self, name: str) -> LaneBucket:
        """The part of one lane."""
        found = self.lanes.get(name)
        if found is None:
            found = self.lanes[name] = LaneBucket()
        return found

    def fold(self, later: Bucket) -> None:
        """Take the bucket after this one into it."""
        for name, lane in later.lanes.items():
            self.lane(name).fold(lane)
        self.failed += later.failed
        self.prompt_tokens += later.prompt_tokens
        self.output_tokens += later.output_tokens
        self.reserved += later.reserved
        self.cost += later.cost
        add(self.attempt, later.attempt)
        add(self.row, later.row)
        add(self.first_token, later.first_token)


class SlowRow(Struct, array_like=True, order=True):
    """One of the rows that took longest. seconds: from its turn to its answer."""

    seconds: float
    index: int
    custom_id: str
    attempt_seconds: float
    first_token_seconds: float | None
    attempts: int
    lane: str
    prompt_tokens: int
    output_tokens: int


class Mark(Struct, array_like=True):
    """A stretch of time that plots show. end: None while it goes on."""

    start: float
    end: float | None
    text: str


class History(Struct):
    """One process's part of a run. Clocks are seconds since `began`; utc: what that was, in seconds since the epoch."""

    utc: float = 0.0
    width: float = 1.0
    buckets: list[Bucket] = field(default_factory=list)
    slow: list[SlowRow] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    ended: float = 0.0
    began: float = 0.0
    last_left: dict[str, float] = field(default_factory=dict)  # clock of each lane's latest departure

    def bucket(self, at: float) -> Bucket:
        """The bucket of a clock since the beginning."""
        place = int(at / self.width)
        while place >= MOST:
            self.halve()
            place = int(at / self.width)
        while len(self.buckets) <= place:
            self.buckets.append(Bucket())
        return self.buckets[place]

    def halve(self) -> None:
        """Fold neighbours in two."""
        old = self.buckets
        for first, second in zip(old[::2], old[1::2], strict=False):
            first.fold(second)
        self.buckets = old[::2]
        self.width *= 2

    def left(self, lane: str, count: int, at: float, held_by: str, tokens: int) -> None:
        """Attempts leave a lane together. held_by: what the lane waited for since the last departure. tokens: that limits are charged."""
        at -= self.began
        bucket = self.bucket(at)
        part = bucket.lane(lane)
        part.sent += count
        part.left_sum += count * at
        bucket.reserved += tokens
        since = self.last_left.get(lane, 0.0)
        if at > since:
            self._held(lane, since, at, held_by)
            self.last_left[lane] = at

    def answered(self, reports: Sequence[Report], costs: Sequence[float | None] | None = None) -> None:
        """Attempts were answered. costs: of each, None for one that is not known. A call for each part would cost as much again."""
        began, slow = self.began, self.least_slow
        name, start, stop, at, lane, bucket = "", 0.0, 0.0, 0.0, LaneBucket(), Bucket()
        attempt, row = bucket.attempt, bucket.row
        for report in reports:
            ticket, usage, ended = report.ticket, report.usage, report.ended
            left, at = ticket.left, ended - began
            if ticket.lane_name != name or not start <= at < stop:
                name, bucket = ticket.lane_name, self.bucket(at)
                start = int(at / self.width) * self.width
                stop = start + self.width
                lane, attempt, row = bucket.lane(name), bucket.attempt, bucket.row
            lane.answered += 1
            lane.ended += 1
            lane.ended_sum += at
            bucket.prompt_tokens += usage.prompt_tokens
            bucket.output_tokens += usage.output_tokens
            seconds = ended - left
            cell = int(log2(seconds) * CELLS + 1024) - 1024 if seconds > LEAST_SECONDS else LEAST_CELL
            attempt[cell] = attempt[cell] + 1 if cell in attempt else 1
            if ticket.turn != left:
                seconds = ended - ticket.turn
                cell = int(log2(seconds) * CELLS + 1024) - 1024 if seconds > LEAST_SECONDS else LEAST_CELL
            row[cell] = row[cell] + 1 if cell in row else 1
            if report.arrival is not None and report.arrival.first_token_at is not None:
                count(bucket.first_token, report.arrival.first_token_at - left)
            if seconds > slow:
                self._slow(report, seconds)
                slow = self.least_slow
        self.ended = max(self.ended, at)
        for report, cost in zip(reports, costs or (), strict=False):
            if cost is not None:
                self.bucket(report.ended - began).cost += cost

    def note(self, records: Sequence[AttemptRecord]) -> None:
        """Take attempts that brought no result."""
        for record in records:
            ended = record.ended - self.began
            bucket = self.bucket(ended)
            lane = bucket.lane(record.lane)
            lane.ended += 1
            lane.ended_sum += ended
            bucket.prompt_tokens += record.prompt_tokens
            bucket.output_tokens += record.output_tokens
            bucket.cost += record.cost or 0.0
            bucket.failed += record.result is AttemptResult.FAILED
            if record.code:
                lane.codes[record.code] = lane.codes.get(record.code, 0) + 1
            self.ended = max(self.ended, ended)

    def mark(self, at: float, text: str) -> None:
        """A stretch begins that plots show."""
        if len(self.marks) < MARKS:
            self.marks.append(Mark(at, None, text))

    def unmark(self, at: float, text: str) -> None:
        """The stretch of this text has ended."""
        for mark in self.marks:
            if mark.text == text and mark.end is None:
                mark.end = at

    @property
    def least_slow(self) -> float:
        """How long a row must have taken to be one of the slowest."""
        return self.slow[0].seconds if len(self.slow) == SLOWEST else -inf

    def _held(self, name: str, since: float, until: float, why: str) -> None:
        """Add a wait to the buckets that it lies in."""
        width = self.width
        while True:
            end = (int(since / width) + 1) * width
            held = self.buckets[int(since / width)].lane(name).held
            held[why] = held.get(why, 0.0) + min(until, end) - since
            if until <= end:
                return
            since = end

    def _slow(self, report: Report, seconds: float) -> None:
        ticket, usage, arrival = report.ticket, report.usage, report.arrival
        first = None if arrival is None or arrival.first_token_at is None else arrival.first_token_at - ticket.left
        took, name = report.ended - ticket.left, ticket.job.custom_id[:200]
        row = SlowRow(
            seconds, ticket.job.index, name, took, first, ticket.attempt, ticket.lane_name, usage.prompt_tokens, usage.output_tokens
        )
        (heappush if len(self.slow) < SLOWEST else heapreplace)(self.slow, row)


def count(bins: BINS, seconds: float) -> None:
    """Count a duration."""
    cell = int(log2(max(LEAST_SECONDS, seconds)) * CELLS + 1024) - 1024
    bins[cell] = bins.get(cell, 0) + 1


def add(to: dict[K, N], more: dict[K, N]) -> None:
    """Add counts to counts."""
    for key, value in more.items():
        to[key] = to[key] + value if key in to else value


def quantile(bins: BINS, share: float) -> float | None:
    """The duration below which this share of them is, to 2.2 %; None where there are none."""
    if not bins:
        return None
    left = share * (sum(bins.values()) - 1)
    cells = sorted(bins)
    while left >= bins[cells[0]]:
        left -= bins[cells.pop(0)]
    return float(2 ** ((cells[0] + 0.5) / CELLS))


def flaw_in(history: History) -> str | None:
    """What cannot stand in a history that was counted; somebody has changed it. A report would take all memory or all time for it."""
    if not 1.0 <= history.width <= WIDEST or len(history.buckets) > MOST:
        return "its buckets are of no width that it uses, or too many"
    clocks = (history.utc, history.ended, history.began, *history.last_left.values())
    if not all(-inf < clock < inf for clock in clocks):
        return "a clock in it is not a number"
    cells = {cell for bucket in history.buckets for bins in (bucket.attempt, bucket.row, bucket.first_token) for cell in bins}
    return None if all(LEAST_CELL <= cell <= LAST_CELL for cell in cells) else "a duration in it is longer than a century"

"""What a run keeps for its report: buckets of time with counts and histograms, the slowest rows and what befell the lanes. Pure.

Theory of operation. No attempt is kept. A bucket is a second wide at first. When there would be more than `MOST` of them, neighbours
are folded in two and the width doubles, so that an hour and a week take the same room. Durations are counted in cells that grow by
4.4 %, so a percentile is at most 2.2 % off, and histograms of two buckets add up exactly.

Attempts are told when they end, not when they leave. So two things are worked out afterwards:

- What a lane waited for between two departures is known once both have ended. Departures that came out of order wait in
  `waiting`, by their number, until the one before them has ended.
- How many were in flight follows from what left and ended in a bucket, and from the sums of those clocks: a bucket that ends at `e` and
  begins with `level` attempts in flight has seen `level * width + (sent * e - left_sum) - (ended * e - ended_sum)` seconds of them.

All values are plain, and encoded in one call: a thread may do so while the run goes on.
"""

from __future__ import annotations

from heapq import heappush, heapreplace
from math import log2
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct, field

from pipeline.events import AttemptResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.events import AttemptRecord

MOST = 600  # buckets
CELLS = 16  # of a histogram, for every doubling
LEAST_SECONDS = 2.0**-20  # shorter times count as this
SLOWEST = 200
MARKS = 100
K = TypeVar("K", int, str)
N = TypeVar("N", int, float)
ANSWERED = AttemptResult.ANSWERED
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
    departures: dict[str, int] = field(default_factory=dict)  # of each lane, as far as they are accounted for
    last_left: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, dict[int, tuple[float, str]]] = field(default_factory=dict)

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

    def note(self, records: Sequence[AttemptRecord]) -> None:
        """Take attempts that ended. One loop for all: a call for each part would cost as much again."""
        began, width, buckets, ended = self.began, self.width, self.buckets, 0.0
        for record in records:
            left, ended, name, code, result = record.left - began, record.ended - began, record.lane, record.code, record.result
            place = int(ended / width)
            if place < len(buckets):
                bucket = buckets[place]
            else:
                bucket = self.bucket(ended)
                width, buckets = self.width, self.buckets
            lane = bucket.lanes.get(name) or bucket.lane(name)
            lane.ended += 1
            lane.ended_sum += ended
            bucket.prompt_tokens += record.prompt_tokens
            bucket.output_tokens += record.output_tokens
            if record.cost is not None:
                bucket.cost += record.cost
            if code:
                lane.codes[code] = lane.codes.get(code, 0) + 1
            if result is ANSWERED:
                lane.answered += 1
                self._time(record, bucket)
            elif result is AttemptResult.FAILED:
                bucket.failed += 1
            bucket = buckets[int(left / width)]
            lane = bucket.lanes.get(name) or bucket.lane(name)
            lane.sent += 1
            lane.left_sum += left
            bucket.reserved += record.estimated_tokens
            waiting = self.waiting.get(name)
            if waiting is None:
                waiting = self.waiting[name] = {}
            waiting[record.number] = (left, record.held_by)
        self.ended = max(self.ended, ended)
        for name, waiting in self.waiting.items():
            self._account(name, waiting)

    def mark(self, at: float, text: str) -> None:
        """A stretch begins that plots show."""
        if len(self.marks) < MARKS:
            self.marks.append(Mark(at, None, text))

    def unmark(self, at: float, text: str) -> None:
        """The stretch of this text has ended."""
        for mark in self.marks:
            if mark.text == text and mark.end is None:
                mark.end = at

    def settle(self) -> None:
        """Account for departures whose forerunners will never be told, because they were cut off."""
        for name, waiting in self.waiting.items():
            for number in sorted(waiting):
                self.departures[name] = number
                self._account(name, waiting)

    def _account(self, name: str, waiting: dict[int, tuple[float, str]]) -> None:
        """Add up what a lane waited for, as far as its departures are known without a gap."""
        number, since = self.departures.get(name, 0), self.last_left.get(name, 0.0)
        until, held = 0.0, None
        while (item := waiting.pop(number, None)) is not None:
            left, why = item
            if held is not None and left <= until:
                held[why] = held.get(why, 0.0) + left - since
            elif left > since:
                until, held = self._held(name, since, left, why)
            since = max(since, left)
            number += 1
        self.departures[name], self.last_left[name] = number, since

    def _held(self, name: str, since: float, left: float, why: str) -> tuple[float, dict[str, float]]:
        """Add a wait to the buckets that it lies in; the end of the last one, and what was held in it."""
        width = self.width
        while True:
            end = (int(since / width) + 1) * width
            held = self.buckets[int(since / width)].lane(name).held
            held[why] = held.get(why, 0.0) + min(left, end) - since
            if left <= end:
                return end, held
            since = end

    def _time(self, record: AttemptRecord, bucket: Bucket) -> None:
        left, ended, first = record.left, record.ended, record.first_token
        seconds = ended - left
        cell = int(log2(max(LEAST_SECONDS, seconds)) * CELLS + 1024) - 1024
        bucket.attempt[cell] = bucket.attempt.get(cell, 0) + 1
        seconds = ended - record.turn
        cell = int(log2(max(LEAST_SECONDS, seconds)) * CELLS + 1024) - 1024
        bucket.row[cell] = bucket.row.get(cell, 0) + 1
        if first is not None:
            count(bucket.first_token, first - left)
        if seconds > self.slow[0].seconds if len(self.slow) == SLOWEST else True:
            (heappush if len(self.slow) < SLOWEST else heapreplace)(self.slow, _slow(record, seconds))


def _slow(record: AttemptRecord, seconds: float) -> SlowRow:
    first = None if record.first_token is None else record.first_token - record.left
    return SlowRow(
        seconds,
        record.index,
        record.custom_id[:200],
        record.ended - record.left,
        first,
        record.attempt,
        record.lane,
        record.prompt_tokens,
        record.output_tokens,
    )


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
    left = share * (sum(bins.values()) - 1)
    for cell in sorted(bins):
        left -= bins[cell]
        if left < 0:
            return float(2 ** ((cell + 0.5) / CELLS))
    return None if not bins else float(2 ** ((max(bins) + 0.5) / CELLS))

"""Puts the histories of a run's processes one after the other, as series that plots can be made of. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.core.bookkeeping.history import Bucket, LaneBucket, add, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.bookkeeping.history import BINS, History

MOST = 1200  # points of a plot, over all sessions
TAIL = "tail"

# What a gate waits for, in the groups that plots show: name, words, colour, bounds.
GROUPS = (
    ("requests", "your limit on requests", "blue", ("requests_per_second", "requests_per_minute")),
    ("tokens", "your limit on tokens", "teal", ("tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute")),
    ("provider", "the learned pace", "orange", ("learned", "pause")),
    ("out", "the provider out of reach", "red", ("lane_out",)),
    ("in_flight", "max_in_flight", "purple", ("in_flight",)),
    ("budget", "the budget", "pink", ("budget.cost", "budget.tokens", "budget.requests", "budget.seconds")),
    (TAIL, "the last rows under way", "green", ()),
    ("nothing", "nothing: as fast as answers come", "grey", ()),
)
GROUP_OF = {bound: name for name, _, _, bounds in GROUPS for bound in bounds}
WORDS = {name: words for name, words, _, _ in GROUPS}
NO_BOUNDS = frozenset({"nothing", TAIL})


@define(eq=False)
class Timeline:
    """Series with a value for each bucket, over all sessions. marks: start, end, words. seconds: that the sessions took together."""

    width: float
    buckets: list[Bucket]
    lanes: list[str]
    seconds: float
    marks: list[tuple[float, float, str]]
    held: list[Counter[str]]
    flight: dict[str, list[float]]
    pace: dict[str, list[float | None]]
    times: list[float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.times = [round(place * self.width, 3) for place in range(len(self.buckets))]

    def lane(self, name: str, value: Callable[[LaneBucket], float]) -> list[float]:
        """A figure of one lane."""
        return [value(bucket.lanes.get(name) or LaneBucket()) for bucket in self.buckets]

    def total(self, value: Callable[[LaneBucket], float]) -> list[float]:
        """A figure of all lanes together."""
        return [sum(map(value, bucket.lanes.values())) for bucket in self.buckets]

    def bins(self, value: Callable[[Bucket], BINS]) -> BINS:
        """All durations together."""
        whole: BINS = {}
        for bucket in self.buckets:
            add(whole, value(bucket))
        return whole

    def percentile(self, value: Callable[[Bucket], BINS], share: float, seconds: float) -> list[float | None]:
        """A percentile over the last seconds before each point; None where hardly anything was counted."""
        back, found = max(1, round(seconds / self.width)), []
        for place in range(len(self.buckets)):
            together: BINS = {}
            for bucket in self.buckets[max(0, place - back + 1) : place + 1]:
                add(together, value(bucket))
            found.append(quantile(together, share) if sum(together.values()) > 4 else None)
        return found

    def shares(self) -> dict[str, float]:
        """What part of the time each group held the run back."""
        total: Counter[str] = Counter()
        for held in self.held:
            total.update(held)
        whole = sum(total.values())
        return {name: total[name] / whole for name, *_ in GROUPS if total[name] > 0} if whole else {}

    def sums(self, values: Sequence[float], seconds: float) -> list[float]:
        """At each point the sum of the values in the seconds before it."""
        back, found, running = max(1, round(seconds / self.width)), [], 0.0
        for place, value in enumerate(values):
            running += value - (values[place - back] if place >= back else 0.0)
            found.append(running)
        return found

    def rate(self, values: Sequence[float], seconds: float) -> list[float]:
        """At each point how many a second in the seconds before it."""
        back = max(1, round(seconds / self.width))
        sums = self.sums(values, seconds)
        return [value / (min(back, place + 1) * self.width) for place, value in enumerate(sums)]


def timeline_of(sessions: Sequence[History]) -> Timeline:
    """The series of some histories, which are changed: all get buckets of one width."""
    width = max((history.width for history in sessions), default=1.0)
    while True:
        for history in sessions:
            while history.width < width:
                history.halve()
        if sum(len(history.buckets) for history in sessions) <= MOST:
            break
        width *= 2
    lanes = sorted({name for history in sessions for bucket in history.buckets for name in bucket.lanes})
    buckets: list[Bucket] = []
    held: list[Counter[str]] = []
    marks: list[tuple[float, float, str]] = []
    flight: dict[str, list[float]] = {name: [] for name in lanes}
    pace: dict[str, list[float | None]] = {name: [] for name in lanes}
    for number, history in enumerate(sessions):
        start = len(buckets) * width
        if number:
            marks.append((start, start, "went on later"))
        marks += _marks(history, start)
        held += _held(history, lanes)
        for name in lanes:
            flight[name] += _in_flight(history, name)
            pace[name] += _pace(history, name)
        buckets += history.buckets
    return Timeline(width, buckets, lanes, sum(history.ended for history in sessions), marks, held, flight, pace)


def _marks(history: History, start: float) -> Iterator[tuple[float, float, str]]:
    for mark in history.marks:
        end = history.ended if mark.end is None else mark.end
        name = f"lane {mark.text}" if mark.text else "the provider"
        yield start + mark.start, start + end, f"{name} out of reach"


def _held(history: History, lanes: Sequence[str]) -> list[Counter[str]]:
    """Seconds by group in each bucket; after the last departure it is the tail's."""
    last = max(history.last_left.values(), default=0.0)
    found = []
    for place, bucket in enumerate(history.buckets):
        groups: Counter[str] = Counter()
        for lane in bucket.lanes.values():
            for bound, seconds in lane.held.items():
                groups[GROUP_OF.get(bound, "nothing")] += seconds  # type: ignore[assignment]  # seconds, which a Counter adds as well
        end = min((place + 1) * history.width, history.ended)
        tail = max(0.0, end - max(last, place * history.width))
        if tail:
            groups[TAIL] += tail * len(lanes)  # type: ignore[assignment]
        found.append(groups)
    return found


def _in_flight(history: History, name: str) -> list[float]:
    """How many attempts were in flight, as the mean of each bucket; see `history`."""
    level, found = 0, []
    for place, bucket in enumerate(history.buckets):
        lane = bucket.lanes.get(name) or LaneBucket()
        end = (place + 1) * history.width
        seconds = level * history.width + (lane.sent * end - lane.left_sum) - (lane.ended * end - lane.ended_sum)
        level += lane.sent - lane.ended
        found.append(max(0.0, seconds / history.width))
    return found


def _pace(history: History, name: str) -> list[float | None]:
    """The pace that was held in each bucket: the last one that was told."""
    told: float | None = None
    found = []
    for bucket in history.buckets:
        lane = bucket.lanes.get(name)
        told = told if lane is None or lane.pace is None else lane.pace
        found.append(told)
    return found

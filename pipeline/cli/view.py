"""What people see of a running run, computed from its progress records; no text longer than a label is made here.

A `Watcher` remembers the last minute, because a rate needs two moments. It has no clock: a record says how much time has passed.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.core.output.words import amount, duration, many, three_digits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.config import Config, LimitsConfig
    from pipeline.summaries import FailureGroup, LaneProgress, Progress, WorkersProgress

RATE_SECONDS = 15.0  # long enough to hide single rows, short enough to follow a change of the limit
TOKEN_SECONDS = 60.0  # token limits are kept a minute, so their use is shown over a minute
ROWS_FOR_A_TOTAL = 100  # read before the size of the input shows how many there are

NOTHING = ("nothing", "as fast as answers come")
WORDS = {
    "learned": ("the provider's limit", "running at what it is found to allow"),
    "pause": ("the provider", "it asked to wait"),
    "lane_out": ("the provider", "it is out of reach or refuses; it is tried now and then"),
    "in_flight": ("max_in_flight", "more would leave if more could be under way"),
}
LANE_WORDS = {"standby": "rows go to other lanes", "output": "rows must be written first"}


class Facts(Struct, frozen=True):
    """What of a config the view shows. requests: the most a second that the limits allow together, None without one."""

    source: str
    sink: str
    requests: float | None
    tokens_per_minute: float | None
    max_in_flight: int
    budget: float | None = None

    @classmethod
    def of(cls, config: Config) -> Facts:
        """The facts of a config."""
        lanes = [getattr(provider, "limits", None) or config.limits for provider in config.lanes]
        return cls(
            source=os.path.basename(config.source.name) if config.source.path != "-" else "stdin",  # noqa: PTH119  a name for people
            sink=os.path.basename(config.sink.path),  # noqa: PTH119
            requests=_sum_of([_requests_a_second(limits) for limits in lanes]),
            tokens_per_minute=_sum_of([limits.tokens_per_minute for limits in lanes]),
            max_in_flight=sum(limits.max_in_flight for limits in lanes),
            budget=config.budget.cost,
        )


def _requests_a_second(limits: LimitsConfig) -> float | None:
    per_minute = None if limits.requests_per_minute is None else limits.requests_per_minute / 60
    return min((rate for rate in (limits.requests_per_second, per_minute) if rate is not None), default=None)


def _sum_of(amounts: list[float | None]) -> float | None:
    """What all lanes allow together; None if one of them has no limit."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


class LaneView(Struct, frozen=True):
    """One lane at that moment. rate: attempts sent a second, of late. held: what holds it back, in words."""

    name: str
    rate: float
    lane: LaneProgress
    held: str

    @property
    def works(self) -> bool:
        """Whether rows go there now."""
        return self.lane.out_seconds is None and not self.lane.out


class View(Struct, frozen=True):
    """One moment of a run.

    total: rows of the input, None where it cannot be known; an estimate unless `exact`. fraction: of the rows that are done.
    left_seconds: None where no rate tells when the last rows end. ending: nothing more can leave but what is sent or waits to be
    retried. rate, sent: rows done and attempts sent, a second. tokens: a minute. held, why: what holds the run back, in words.
    pace: the most that may leave a second on all lanes together, None for no bound. limited_by, attained: as in `Progress`.
    latency, first_token: percentiles, in seconds.
    """

    facts: Facts
    elapsed: float
    done: int
    failed: int
    total: int | None
    exact: bool
    fraction: float | None
    left_seconds: float | None
    ending: bool
    rate: float
    sent: float
    tokens: float
    in_flight: int
    waiting: int
    retries: int
    throttled: int
    cost: float | None
    forecast: float | None
    bound: str
    held: str
    why: str
    failures: list[tuple[str, FailureGroup]]
    lanes: list[LaneView]
    pace: float | None
    latency: Mapping[str, float]
    first_token: Mapping[str, float]
    workers: WorkersProgress | None = None
    limited_by: Mapping[str, float] = field(default_factory=dict)
    attained: float | None = None

    @property
    def lanes_differ(self) -> bool:
        """Whether lanes wait for different things, so that what holds the run back does not say it all."""
        return len({each.held for each in self.lanes}) > 1

    @property
    def rows_left(self) -> int | None:
        """Rows without an outcome."""
        return None if self.total is None else max(0, self.total - self.done)


class Watcher:
    """Makes a view of each record of progress that it is shown, in their order."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._seen: deque[tuple[float, ...]] = deque()  # elapsed seconds, rows done, attempts, tokens, attempts of each lane

    def look(self, progress: Progress) -> View:
        """The view of a moment."""
        now = progress.elapsed_seconds
        if not self._seen:
            self._seen.append((0.0, progress.rows_resumed, 0, progress.tokens_resumed))
        sent = (lane.attempts for lane in progress.lanes)
        self._seen.append((now, progress.rows_done, progress.attempts, progress.prompt_tokens + progress.output_tokens, *sent))
        while len(self._seen) > 2 and self._seen[1][0] <= now - TOKEN_SECONDS:
            self._seen.popleft()
        rate = self._rate(1, RATE_SECONDS)
        total, exact = expected_rows(progress)
        left = None if total is None else max(0, total - progress.rows_done)
        ending = exact and left is not None and 0 < left <= progress.waiting + progress.in_flight
        held, why = held_by(progress, self._facts, left if ending else None)
        why += _lanes_out(progress)
        lanes = [
            LaneView(lane.name, self._rate(4 + number, RATE_SECONDS), lane, held_words(lane.bound, lane.out_seconds, unused=bool(lane.out)))
            for number, lane in enumerate(progress.lanes)
        ]
        new = progress.rows_done - progress.rows_resumed
        return View(
            facts=self._facts,
            elapsed=now,
            done=progress.rows_done,
            failed=progress.rows_failed,
            total=total,
            exact=exact,
            fraction=None if total is None else (progress.rows_done / total if total else 1.0),
            left_seconds=left / rate if left and rate > 0 and not ending and not progress.waits_for else None,
            ending=ending,
            rate=rate,
            sent=self._rate(2, RATE_SECONDS),
            tokens=self._rate(3, TOKEN_SECONDS) * 60,
            in_flight=progress.in_flight,
            waiting=progress.waiting,
            retries=progress.retries,
            throttled=progress.throttled,
            cost=progress.cost,
            forecast=_forecast(progress.cost, new, left),
            bound=progress.bound,
            held=held,
            why=why,
            failures=sorted(progress.failures.items(), key=lambda item: -item[1].count),
            lanes=lanes,
            pace=_sum_of([lane.pace for lane in progress.lanes]) if progress.lanes else None,
            latency=progress.latency_seconds,
            first_token=progress.first_token_seconds,
            workers=progress.workers,
            limited_by=progress.limited_by,
            attained=progress.attained,
        )

    def _rate(self, which: int, seconds: float) -> float:
        """How fast a count grew of late, a second."""
        now = self._seen[-1]
        then = next((each for each in self._seen if each[0] >= now[0] - seconds), now)
        if then is now and len(self._seen) > 1:
            then = self._seen[-2]
        before = then[which] if which < len(then) else 0  # a lane that is new has sent nothing then
        return (now[which] - before) / (now[0] - then[0]) if now[0] > then[0] else 0.0


def expected_rows(progress: Progress) -> tuple[int | None, bool]:
    """How many rows the input has, and whether that is certain.

    Before its end is read it is an estimate, rounded so that it does not change at every look.
    """
    if progress.rows_total is not None:
        return progress.rows_total, True
    expected = progress.rows_expected
    if expected is None or progress.rows_read < min(ROWS_FOR_A_TOTAL, expected):
        return None, False
    return max(three_digits(expected), progress.rows_read), False


def held_words(bound: str, out_seconds: float | None = None, *, unused: bool = False) -> str:
    """What holds a lane back. out_seconds: for how long it has taken no rows. unused: it is used no longer."""
    if unused:
        return "not used any more"
    if out_seconds is not None:
        return f"out of reach for {duration(out_seconds)}"
    if bound in {"", "input", "retry"}:
        return NOTHING[0]
    return LANE_WORDS.get(bound) or WORDS.get(bound, (bound,))[0]


def _lanes_out(progress: Progress) -> str:
    """Which lanes are out of reach while the run waits for something else, to be added to why it waits."""
    out = [f"{lane.name} out of reach for {duration(lane.out_seconds)}" for lane in progress.lanes if lane.out_seconds is not None]
    return f"; {', '.join(out)}" if out and len(progress.lanes) > 1 and progress.bound != "lane_out" else ""


def held_by(progress: Progress, facts: Facts, last: int | None) -> tuple[str, str]:
    """What holds a run back and what that means. last: how many rows are left where nothing more can leave, else None."""
    if last is not None:
        parts = [f"{count:,} {what}" for count, what in ((progress.in_flight, "under way"), (progress.waiting, "in back-off")) if count]
        return "the last row" if last == 1 else f"the last {last:,} rows", ", ".join(parts)
    bound = progress.bound
    if bound == "tokens_per_minute" and facts.tokens_per_minute is not None:
        return bound, f"your limit of {amount(facts.tokens_per_minute)} a minute is used up"
    if bound.endswith(("per_second", "per_minute")):
        return bound, "running at your limit"
    if bound.startswith("budget."):
        return bound, "the next row fits only if what is under way turns out cheaper"
    if bound == "lane_out" and len(progress.lanes) > 1:
        out = [lane for lane in progress.lanes if lane.out_seconds is not None]
        names = ", ".join(lane.name for lane in out)
        rest = "its rows go to others" if len(out) < len(progress.lanes) else "nothing can be sent"
        longest = max((lane.out_seconds or 0.0 for lane in out), default=0.0)
        return f"out of reach: {names}", f"for {duration(longest)}; {rest}"
    if bound in WORDS:
        return WORDS[bound]
    if bound == "retry" and progress.waiting:
        return "back-off", f"{many(progress.waiting, 'row')} wait to be tried again"
    return NOTHING if bound in {"", "input", "retry"} else (bound, "")


def _forecast(cost: float | None, new: int, left: int | None) -> float | None:
    """What it will have cost in the end, by the mean of what this run has done."""
    return cost + cost / new * left if cost is not None and new >= ROWS_FOR_A_TOTAL and left else None

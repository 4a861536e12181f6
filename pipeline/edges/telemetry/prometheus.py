"""Figures of a run for Prometheus. Counted in plain dictionaries, and turned into metrics only when somebody scrapes.

Scrapes come from another thread; it copies each dictionary in one step, so it may see a group of attempts half counted, but no
broken figure.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from pipeline.events import LaneBack, LaneOut, PaceChanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.core import Metric

    from pipeline.events import AttemptRecord, RunEvent

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # seconds


class PrometheusFigures:
    """An observer and a collector."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, str, str], int] = {}  # lane, result, code
        self._tokens: dict[tuple[str, str], int] = {}  # lane, kind
        self._cost: dict[str, float] = {}
        self._seconds: dict[str, list[int]] = {}  # of a lane: attempts in each range
        self._first: dict[str, list[int]] = {}
        self._sums: dict[tuple[str, str], float] = {}
        self._pace: dict[str, float] = {}
        self._up: dict[str, int] = {}

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Count attempts that ended."""
        for record in records:
            lane, took = record.lane, record.ended - record.left
            key = (lane, record.result.value, record.code)
            self._results[key] = self._results.get(key, 0) + 1
            self._count(self._seconds, "attempt", lane, took)
            if record.first_token is not None:
                self._count(self._first, "first", lane, record.first_token - record.left)
            if record.prompt_tokens or record.output_tokens:
                self._tokens[lane, "input"] = self._tokens.get((lane, "input"), 0) + record.prompt_tokens
                self._tokens[lane, "output"] = self._tokens.get((lane, "output"), 0) + record.output_tokens
            if record.cost is not None:
                self._cost[lane] = self._cost.get(lane, 0.0) + record.cost

    def events(self, events: Sequence[RunEvent]) -> None:
        """Note paces, and which lanes work."""
        for event in events:
            if isinstance(event, PaceChanged) and event.per_second is not None:
                self._pace[event.lane] = event.per_second
            elif isinstance(event, (LaneOut, LaneBack)):
                self._up[event.lane] = int(isinstance(event, LaneBack))

    def collect(self) -> Iterator[Metric]:
        """The metrics as of now."""
        attempts = CounterMetricFamily("headrace_attempts", "Attempts that ended.", labels=("lane", "result", "code"))
        for labels, number in dict(self._results).items():
            attempts.add_metric(labels, number)
        tokens = CounterMetricFamily("headrace_tokens", "Tokens that the provider counted.", labels=("lane", "kind"))
        for names, number in dict(self._tokens).items():
            tokens.add_metric(names, number)
        cost = CounterMetricFamily("headrace_cost", "In the currency of the configured prices.", labels=("lane",))
        pace = GaugeMetricFamily("headrace_pace_requests_per_second", "The most that may leave a second.", labels=("lane",))
        up = GaugeMetricFamily("headrace_lane_up", "Whether the lane takes rows.", labels=("lane",))
        gauges: tuple[tuple[CounterMetricFamily | GaugeMetricFamily, dict[str, float]], ...]
        gauges = ((cost, dict(self._cost)), (pace, dict(self._pace)), (up, {name: float(each) for name, each in self._up.items()}))
        for family, values in gauges:
            for lane, value in values.items():
                family.add_metric((lane,), value)
        yield from (attempts, tokens, cost, pace, up)
        yield self._histogram("headrace_attempt_seconds", "From leaving to the end of an attempt.", self._seconds, "attempt")
        yield self._histogram("headrace_first_token_seconds", "From leaving to the first token of a stream.", self._first, "first")

    def _count(self, ranges: dict[str, list[int]], kind: str, lane: str, seconds: float) -> None:
        counts = ranges.get(lane)
        if counts is None:
            counts = ranges[lane] = [0] * (len(BOUNDS) + 1)
        counts[bisect_left(BOUNDS, seconds)] += 1
        self._sums[kind, lane] = self._sums.get((kind, lane), 0.0) + seconds

    def _histogram(self, name: str, about: str, ranges: dict[str, list[int]], kind: str) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, about, labels=("lane",))
        for lane, counts in dict(ranges).items():
            total, buckets = 0, []
            for bound, number in zip((*map(str, BOUNDS), "+Inf"), list(counts), strict=True):
                total += number
                buckets.append((bound, total))
            family.add_metric((lane,), buckets, self._sums.get((kind, lane), 0.0))
        return family


@contextmanager
def serving(host: str, port: int) -> Iterator[PrometheusFigures]:
    """An observer whose figures can be scraped while the block lasts. Raises OSError where the port cannot be had."""
    figures, registry = PrometheusFigures(), CollectorRegistry()
    registry.register(figures)
    server, thread = start_http_server(port, host, registry)
    try:
        yield figures
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""Puts histories of processes that ran at the same time together, as if one process had done what they did. Pure.

Histories that overlap become one, whose buckets are as wide as the widest. Their clocks began at different moments, so each is moved by
whole buckets, which is exact to half a bucket. Histories that do not overlap stay apart: they are times when the run was going on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.core.bookkeeping.history import MARKS, MOST, SLOWEST, Bucket, History

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP_SECONDS = 5.0  # between two shards of one worker, at most; more is a time when the run stood


def together(histories: Sequence[tuple[History, int]]) -> list[History]:
    """The histories of shards as those of runs, the oldest first. With each: the index of the shard's first row. They are used up."""
    runs: list[History] = []
    end = 0.0
    for history, first in sorted(histories, key=lambda each: each[0].utc):
        history.slow = [replace(row, index=first + row.index) for row in history.slow]
        if runs and history.utc <= end + GAP_SECONDS:
            _add(runs[-1], history)
        else:
            runs.append(history)
        end = max(end, history.utc + history.ended)
    return runs


def _add(run: History, other: History) -> None:
    """Add what another history says to a run's."""
    while (places := round((other.utc - run.utc) / run.width)) + len(other.buckets) > MOST:
        run.halve()
    while run.width != other.width:
        (run if run.width < other.width else other).halve()
        places = round((other.utc - run.utc) / run.width)
    later = places * run.width
    while len(run.buckets) < places + len(other.buckets):
        run.buckets.append(Bucket())
    for place, bucket in enumerate(other.buckets, places):
        for name, lane in bucket.lanes.items():
            lane.left_sum += lane.sent * later
            lane.ended_sum += lane.ended * later
            pace = run.buckets[place].lane(name).pace
            if pace is not None and lane.pace is not None:
                lane.pace += pace  # each worker keeps to a share of its own
        run.buckets[place].fold(bucket)
    run.ended = max(run.ended, later + other.ended)
    for name, at in other.last_left.items():
        run.last_left[name] = max(run.last_left.get(name, 0.0), later + at)
    for mark in other.marks[: MARKS - len(run.marks)]:
        run.marks.append(replace(mark, start=later + mark.start, end=None if mark.end is None else later + mark.end))
    run.slow = sorted([*run.slow, *other.slow])[-SLOWEST:]

"""Adds up what several shards have counted."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.core.cluster.talk import LaneCounts, ShardCounts
from pipeline.summaries import FailureGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ADDED = (
    "rows", "failed", "resumed", "attempts", "retries", "throttled", "in_flight", "waiting", "unknown", "prompt_tokens", "output_tokens",
    "cost", "seconds",
)  # fmt: skip


def total(counts: Iterable[ShardCounts]) -> ShardCounts:
    """All of them together; of the words, the first that is not empty."""
    whole = ShardCounts()
    for each in counts:
        for name in ADDED:
            setattr(whole, name, getattr(whole, name) + getattr(each, name))
        whole.bound, whole.waits_for = whole.bound or each.bound, whole.waits_for or each.waits_for
        whole.failures = failures_together(whole.failures, each.failures)
        whole.held = seconds_together(whole.held, each.held)
        whole.lanes = [lane_together(one, other) for one, other in zip_longest(whole.lanes, each.lanes)]
    return whole


def lane_together(one: LaneCounts | None, other: LaneCounts | None) -> LaneCounts:
    """One lane in two shards or more. It takes rows as long as one of them sends some there."""
    if one is None or other is None:
        return one or other or LaneCounts()
    goes_on = [lane for lane in (one, other) if lane.pace is not None or lane.in_flight or lane.bound or lane.out_seconds is not None]
    outs = [lane.out_seconds for lane in goes_on]
    paces = [lane.pace for lane in goes_on if lane.pace is not None]
    return LaneCounts(
        one.attempts + other.attempts,
        one.succeeded + other.succeeded,
        one.throttled + other.throttled,
        one.in_flight + other.in_flight,
        seconds_together(one.held, other.held),
        one.bound or other.bound,
        one.allowed if other.allowed is None else other.allowed,
        sum(paces) if paces else None,
        max((out for out in outs if out is not None), default=None) if None not in outs else None,
        one.out or other.out,
    )


def left_behind(counts: ShardCounts, before: ShardCounts | None) -> ShardCounts:
    """What is counted of a shard whose worker does not go on with it. before: by workers that had it earlier."""
    before = before or ShardCounts()
    sent = total([only_sent(before), only_sent(counts)])
    seen = counts if counts.rows else before  # a worker that never began has seen none of the rows
    return replace(
        ended(seen),
        attempts=sent.attempts,
        retries=sent.retries,
        throttled=sent.throttled,
        seconds=sent.seconds,
        held=sent.held,
        lanes=sent.lanes,
    )


def only_sent(counts: ShardCounts) -> ShardCounts:
    """What is still to be counted of a shard once another worker goes on with it, which counts all rows of the shard itself."""
    return ShardCounts(
        attempts=counts.attempts,
        retries=counts.retries,
        throttled=counts.throttled,
        seconds=counts.seconds,
        held=counts.held,
        lanes=ended(counts).lanes,
    )


def ended(counts: ShardCounts) -> ShardCounts:
    """The counts of a shard that is not run any more: nothing is in flight, and nothing holds it back."""
    lanes = [replace(lane, in_flight=0, bound="", pace=None, out_seconds=None) for lane in counts.lanes]
    return replace(counts, in_flight=0, waiting=0, bound="", waits_for="", lanes=lanes)


def seconds_together(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Seconds by cause."""
    together = dict(one)
    for cause, seconds in other.items():
        together[cause] = together.get(cause, 0.0) + seconds
    return together


def failures_together(*all_groups: Mapping[str, FailureGroup]) -> dict[str, FailureGroup]:
    """The failures of several shards by code. The example of the last one that has any is kept."""
    together: dict[str, FailureGroup] = {}
    for groups in all_groups:
        for code, group in groups.items():
            before = together.get(code)
            together[code] = group if before is None else FailureGroup(before.count + group.count, group.example)
    return together

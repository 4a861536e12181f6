"""Adds up what several shards have counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pipeline.core.cluster.talk import ShardCounts
from pipeline.summaries import FailureGroup

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def total(counts: Iterable[ShardCounts]) -> ShardCounts:
    """All of them together; of the words, the first that is not empty."""
    whole = ShardCounts()
    for each in counts:
        for name in ShardCounts.__struct_fields__:
            mine, more = getattr(whole, name), getattr(each, name)
            if isinstance(mine, dict):
                whole.failures = failures_together(mine, more)
            else:
                setattr(whole, name, (mine or more) if isinstance(mine, str) else mine + more)
    return whole


def left_behind(counts: ShardCounts, before: ShardCounts | None) -> ShardCounts:
    """What is counted of a shard whose worker does not go on with it. before: by workers that had it earlier."""
    before = before or ShardCounts()
    return replace(
        counts if counts.rows else before,  # a worker that never began has seen none of the rows
        attempts=before.attempts + counts.attempts,
        retries=before.retries + counts.retries,
        throttled=before.throttled + counts.throttled,
        in_flight=0,
        waiting=0,
        bound="",
        waits_for="",
    )


def only_attempts(counts: ShardCounts) -> ShardCounts:
    """What is still to be counted of a shard once another worker goes on with it, which counts all rows of the shard itself."""
    return ShardCounts(attempts=counts.attempts, retries=counts.retries, throttled=counts.throttled)


def failures_together(*all_groups: Mapping[str, FailureGroup]) -> dict[str, FailureGroup]:
    """The failures of several shards by code. The example of the last one that has any is kept."""
    together: dict[str, FailureGroup] = {}
    for groups in all_groups:
        for code, group in groups.items():
            before = together.get(code)
            together[code] = group if before is None else FailureGroup(before.count + group.count, group.example)
    return together

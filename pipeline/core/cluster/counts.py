"""Adds up what several shards have counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def failures_together(*all_groups: Mapping[str, FailureGroup]) -> dict[str, FailureGroup]:
    """The failures of several shards by code. The example of the last one that has any is kept."""
    together: dict[str, FailureGroup] = {}
    for groups in all_groups:
        for code, group in groups.items():
            before = together.get(code)
            together[code] = group if before is None else FailureGroup(before.count + group.count, group.example)
    return together

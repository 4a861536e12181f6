"""What holds a run by workers back, and each of its lanes: sums over all workers, as the progress of one process says it. No clock.

Shares are of the time of all workers together: with one of two workers held back by a limit all the time, and the other never, a half.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from pipeline.core.bookkeeping.going import Going, LaneWait
from pipeline.core.cluster.counts import seconds_together
from pipeline.core.pacing.findings import shown
from pipeline.core.pacing.waits import shares
from pipeline.summaries import LaneProgress, LaneSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.cluster.talk import LaneCounts, ShardCounts
    from pipeline.core.pacing.findings import Learned
    from pipeline.summaries import Progress

LONG_ENOUGH_SECONDS = 2.0  # of sending, to tell what share of the limits was used


def limited_by(counts: ShardCounts) -> dict[str, float]:
    """Shares of the workers' time, by what the run waited for."""
    return shares(counts.held, max(counts.seconds, sum(counts.held.values())))


def lanes_of(counts: ShardCounts, names: Sequence[str], sending: float) -> tuple[LaneProgress, ...]:
    """Where each lane stands. sending: seconds since the first attempt left."""
    return tuple(_lane(lane, name, counts.seconds, sending) for name, lane in zip(names, counts.lanes, strict=False))


def attained(counts: ShardCounts, sending: float) -> float | None:
    """Attempts that left, of those that the limits on requests of all lanes allowed; None where one of them has no limit."""
    allowed = [lane.allowed for lane in counts.lanes]
    return _share(counts.attempts, sum(each or 0.0 for each in allowed), sending) if allowed and None not in allowed else None


def lane_summaries(lanes: Sequence[LaneProgress], learned: Sequence[Learned | None]) -> tuple[LaneSummary, ...]:
    """The same of a run that has ended. learned: of each lane, what its provider was found to allow to all workers."""
    return tuple(
        LaneSummary(
            lane.name,
            lane.attempts,
            lane.succeeded,
            lane.throttled,
            pace,
            kind,
            learned_in_flight=cap,
            out_seconds=round(lane.out_seconds or 0.0, 3),
            out=lane.out or None,
            limited_by=lane.limited_by,
            attained=lane.attained,
        )
        for lane, found in zip_longest(lanes, learned[: len(lanes)])
        for pace, kind, cap in [shown(found)]
    )


def going_of(progress: Progress, rows_per_second: float | None) -> Going:
    """What a run by workers keeps for `status` of its progress."""
    lanes = [LaneWait(lane.name, lane.bound, lane.out_seconds, dict(lane.limited_by), lane.attained) for lane in progress.lanes]
    return Going(
        progress.rows_total,
        progress.in_flight,
        progress.waiting,
        rows_per_second,
        progress.bound,
        dict(progress.limited_by),
        progress.attained,
        tuple(lanes) if len(lanes) > 1 else (),
    )


def going_together(all_going: Sequence[Going]) -> Going:
    """What holds shards back that are run at the same time, by their journals."""
    lanes = [_waits_together(same) for same in zip(*(going.lanes for going in all_going if going.lanes), strict=False)]
    held = [going.limited_by for going in all_going if going.limited_by]
    used = [going.attained for going in all_going if going.attained is not None]
    return Going(
        bound=next((going.bound for going in all_going if going.bound), ""),
        limited_by=_mean(held),
        attained=round(sum(used), 4) if used else None,
        lanes=tuple(lanes),
    )


def _waits_together(lanes: Sequence[LaneWait]) -> LaneWait:
    outs = [lane.out_seconds for lane in lanes]
    used = [lane.attained for lane in lanes if lane.attained is not None]
    return LaneWait(
        lanes[0].name,
        next((lane.bound for lane in lanes if lane.bound), ""),
        None if None in outs else max(out or 0.0 for out in outs),
        _mean([lane.limited_by for lane in lanes]),
        round(sum(used), 4) if used else None,
    )


def _mean(all_shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    together: dict[str, float] = {}
    for each in all_shares:
        together = seconds_together(together, each)
    return {cause: round(share / len(all_shares), 4) for cause, share in sorted(together.items())}


def _lane(lane: LaneCounts, name: str, seconds: float, sending: float) -> LaneProgress:
    pace = lane.pace if lane.pace is None or lane.allowed is None else min(lane.pace, lane.allowed)  # each worker says that of the run
    return LaneProgress(
        name,
        lane.attempts,
        lane.throttled,
        lane.in_flight,
        lane.allowed,
        pace,
        lane.out_seconds,
        lane.bound,
        shares(lane.held, max(seconds, sum(lane.held.values()))),
        _share(lane.attempts, lane.allowed, sending),
        lane.out,
        lane.succeeded,
    )


def _share(attempts: int, allowed: float | None, sending: float) -> float | None:
    if not allowed or sending < LONG_ENOUGH_SECONDS:
        return None
    return round(min(1.0, max(0, attempts - 1) / (allowed * sending)), 4)

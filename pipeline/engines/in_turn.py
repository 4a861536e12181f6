"""The plainest engine: the shards one after the other, in this process. It shares no limits with anybody.

It shows what an engine does, and lets tests run shards without a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from pipeline.core.cluster.counts import failures_together
from pipeline.engines.shard import Place, opened_providers, run_shard
from pipeline.engines.work import Ended
from pipeline.summaries import Progress, WorkersProgress

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.engines.shard import ShardResult
    from pipeline.engines.work import Work

# Counts that grow from shard to shard. What is in flight, or holds the run back, is the present shard's alone.
ADDED = ("rows_read", "rows_done", "rows_failed", "attempts", "retries", "throttled", "rows_resumed", "prompt_tokens", "output_tokens")


async def in_turn(work: Work) -> Ended:
    """Run the shards of some work one after the other; see `Engine`."""
    sums = _Sums(work)
    place = Place(work.directory, work.plan)
    async with opened_providers(work.config) as opened:
        for shard in work.shards:
            if work.stop.is_set():
                return Ended("interrupted", sums.now, interrupted=True)
            result: ShardResult = await run_shard(
                work.config,
                shard,
                place,
                leases={},
                events=sums.tell,
                stop=work.stop,
                give_up=work.give_up,
                opened=opened,
                limit=work.limits.get(shard.number),
            )
            if result.stopped is not None:
                return Ended(result.stopped, sums.now, interrupted=result.interrupted)
            sums.end_shard(whole=result.done is not None)
    return Ended(None, sums.now)


class _Sums:
    """The progress over all shards. now: the newest."""

    def __init__(self, work: Work) -> None:
        self._tell = work.tell
        self._began = trio.current_time()
        self._workers = WorkersProgress(1, 1, len(work.done), len(work.plan.shards))
        self.now = self._before = progress_before(work, self._workers)

    def tell(self, shard: Progress) -> None:
        """Take the progress of the present shard."""
        before = self._before
        both = {name: getattr(before, name) + getattr(shard, name) for name in ADDED}
        cost = None if before.cost is None or shard.cost is None else before.cost + shard.cost
        failures = failures_together(before.failures, shard.failures)
        self.now = replace(
            shard,
            **both,
            cost=cost,
            failures=failures,
            rows_total=before.rows_total,
            elapsed_seconds=trio.current_time() - self._began,
            workers=self._workers,
            lanes=(),
            limited_by={},
            attained=None,
        )
        self._tell(self.now)

    def end_shard(self, *, whole: bool) -> None:
        """The next shard comes."""
        self._workers = replace(self._workers, done=self._workers.done + whole)
        self._before = replace(self.now, in_flight=0, waiting=0)


def has_prices(config: Config) -> bool:
    """Whether it is known what answers cost."""
    return config.prices is not None or any(getattr(lane, "prices", None) for lane in config.lanes)


def progress_before(work: Work, workers: WorkersProgress) -> Progress:
    """Where a run stands before it goes on: what is in the parts that are whole."""
    done = work.done.values()
    rows = sum(part.rows for part in done)
    costs = [part.cost for part in done] if has_prices(work.config) else [None]
    return Progress(
        rows_read=rows,
        rows_done=rows,
        rows_failed=sum(part.failed for part in done),
        rows_total=rows + sum(work.limits.get(shard.number, shard.rows) for shard in work.shards),
        attempts=0,
        retries=0,
        throttled=0,
        in_flight=0,
        waiting=0,
        elapsed_seconds=0.0,
        bound="",
        rows_resumed=rows,
        prompt_tokens=sum(part.prompt_tokens for part in done),
        output_tokens=sum(part.output_tokens for part in done),
        tokens_resumed=sum(part.prompt_tokens + part.output_tokens for part in done),
        cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        workers=workers,
    )

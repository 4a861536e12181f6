"""The queue of a run's shards: which wait, who runs which, which are done. No clock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pipeline.core.cluster.counts import ended, total

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.core.cluster.talk import ShardCounts

MOST_TRIES = 5  # a shard whose workers died so often is probably what kills them


class ShardQueue:
    """waiting: numbers, the next one first. running: the worker of each. done: how each ended; done_counts: all of these together.

    again: how often a shard was given back.

    tries: how often since rows of it were done for the last time. furthest: how many of its rows were done then.
    """

    def __init__(self, waiting: Iterable[int], done: Mapping[int, ShardCounts]) -> None:
        self.waiting = deque(waiting)
        self.running: dict[int, str] = {}
        self.done = {shard: ended(counts) for shard, counts in done.items()}
        self.done_counts = total(self.done.values())
        self.again: dict[int, int] = {}
        self.tries: dict[int, int] = {}
        self.furthest: dict[int, int] = {}

    def give(self, worker: str) -> int | None:
        """The next shard for a worker, None if none waits."""
        if not self.waiting:
            return None
        shard = self.waiting.popleft()
        self.running[shard] = worker
        return shard

    def of(self, worker: str) -> list[int]:
        """The shards that a worker is to run."""
        return [shard for shard, runs in self.running.items() if runs == worker]

    def adopt(self, shard: int, worker: str) -> None:
        """A worker runs a shard since before this queue was made."""
        if shard in self.waiting:
            self.waiting.remove(shard)
            self.running[shard] = worker

    def finish(self, shard: int, worker: str, counts: ShardCounts) -> None:
        """A shard is whole, and its part is listed as done."""
        self.adopt(shard, worker)
        if self.running.get(shard) == worker:
            del self.running[shard]
            self.done[shard] = ended(counts)
            self.done_counts = total([self.done_counts, self.done[shard]])

    def put_back(self, shard: int, worker: str, *, counts: bool = True, rows: int = 0) -> str | None:
        """A worker cannot go on with a shard: it is the next one of all. Says why the run must stop if that happened too often.

        counts: it may be the shard that is to blame. One that another process still has the lock of waits behind the others.
        rows: of it that are done. Machines that go at any moment may take a long shard from many workers, each of which does some.
        """
        if self.running.get(shard) != worker:
            return None
        del self.running[shard]
        if not counts:
            self.waiting.append(shard)
            return None
        self.waiting.appendleft(shard)
        self.again[shard] = self.again.get(shard, 0) + 1
        further = rows > self.furthest.get(shard, 0)
        self.furthest[shard] = max(rows, self.furthest.get(shard, 0))
        self.tries[shard] = 1 if further else self.tries.get(shard, 0) + 1
        if self.tries[shard] >= MOST_TRIES:
            return f"shard {shard} could not be finished by {MOST_TRIES} workers one after the other"
        return None

    @property
    def finished(self) -> bool:
        """Whether all are done."""
        return not self.waiting and not self.running

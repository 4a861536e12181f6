"""What `-v` tells of a run by several workers: who comes and goes, and which shards are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.output.words import many

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.summaries import Progress, WorkersProgress

EVERY_SECONDS = 30.0  # between two looks at what each worker has done


class WorkersTold:
    """Says what has changed since the progress before. say: takes a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._known: dict[str, int] = {}
        self._done: int | None = None
        self._again = 0
        self._next = EVERY_SECONDS

    def show(self, progress: Progress) -> None:
        """Take the newest progress."""
        workers = progress.workers
        if workers is None:
            return
        for name in workers.each.keys() - self._known.keys():
            self._say(f"worker {name} has begun ({workers.alive:,} of {workers.wanted:,})")
        for name in self._known.keys() - workers.each.keys():
            self._say(f"worker {name} has ended, after {many(self._known[name], 'row')}")
        self._known = dict(workers.each)
        self._tell_shards(workers)
        if progress.elapsed_seconds >= self._next and workers.each:
            self._next = progress.elapsed_seconds + EVERY_SECONDS
            self._say("rows by worker: " + ", ".join(f"{name} {rows:,}" for name, rows in sorted(workers.each.items())))

    def _tell_shards(self, workers: WorkersProgress) -> None:
        if workers.again > self._again:
            self._say(f"{many(workers.again - self._again, 'shard')} given to another worker")
        if self._done is not None and workers.done > self._done:
            self._say(f"{workers.done:,} of {many(workers.shards, 'shard')} whole")
        self._done, self._again = workers.done, workers.again

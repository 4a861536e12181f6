"""A cluster without Ray: the coordinator on an event loop in a thread, and each worker in a thread with a trio of its own."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from attrs import define, field

from pipeline.engines.in_turn import progress_before
from pipeline.engines.ray.coordinator import Coordinator, Setup
from pipeline.engines.ray.driver import shared_lanes
from pipeline.engines.ray.worker import Job, in_a_line, work
from pipeline.engines.shard import Place
from pipeline.engines.work import Ended
from pipeline.summaries import WorkersProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.engines.work import Work

HANGS_SECONDS = 60


@define(eq=False)
class Workers:
    """An engine of so many workers. meets: called with this before every message of a worker; what it raises fails the message."""

    count: int = 2
    expiry: float = 3.0
    meets: Callable[[Workers, str], None] = lambda workers, name: None
    coordinator: Coordinator = field(init=False)
    messages: int = 0
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.new_event_loop)
    _setup: bytes = b""
    _lock: threading.Lock = field(factory=threading.Lock)
    _is_over: bool = False

    async def __call__(self, job: Work) -> Ended:
        shards = [shard.number for shard in job.shards]
        self._setup = msgspec.msgpack.encode(Setup(shared_lanes(job.config), shards, self.expiry, str(job.directory.path)))
        self.begin_coordinator()
        thread = threading.Thread(target=self._loop.run_forever)
        thread.start()
        told = progress_before(job, WorkersProgress(self.count, self.count, 0, len(shards)))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop, job)
                async with trio.open_nursery() as workers:
                    workers.cancel_scope.deadline = trio.current_time() + HANGS_SECONDS
                    for number in range(self.count):
                        asked = Job(job.config, Place(job.directory, job.plan), dict(job.limits), self.expiry, self.count)
                        workers.start_soon(partial(trio.to_thread.run_sync, self._work, asked, f"w{number}", abandon_on_cancel=True))
                assert not workers.cancel_scope.cancelled_caught, "the workers hang"
                nursery.cancel_scope.cancel()
            stopped = self.coordinator._core.stopped
            return Ended(stopped, told, job.stop.is_set())
        finally:
            with self._lock:
                self._is_over = True
                ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            ending.result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def begin_coordinator(self) -> None:
        """Begin it, or another one in its place, which knows what was saved."""
        self.coordinator = Coordinator(self._setup)

    def _work(self, job: Job, name: str) -> None:
        """What a worker's process does. As with a cluster, one that fails stops the run."""
        try:
            trio.run(work, job, self._call(name), name)
        except Exception as error:
            self._ask(self.coordinator.stop(in_a_line(error)))
            raise

    def _call(self, name: str) -> Callable[[bytes, float], bytes]:
        def call(message: bytes, park: float) -> bytes:
            self.messages += 1
            self.meets(self, name)
            answer: bytes = self._ask(self.coordinator.poll(message, park))
            return answer

        return call

    def _ask(self, asked: Any) -> Any:
        with self._lock:
            if self._is_over:  # a worker's thread whose worker has ended
                asked.close()
                raise OSError("the coordinator has ended")
            future = asyncio.run_coroutine_threadsafe(asked, self._loop)
        return future.result()

    async def _stop(self, job: Work) -> None:
        await job.stop.wait()
        await trio.to_thread.run_sync(lambda: self._ask(self.coordinator.stop("interrupted")))

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

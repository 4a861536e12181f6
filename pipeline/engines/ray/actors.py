"""What Ray runs: the coordinator, and workers, one process each.

No method of a worker's class is asynchronous: otherwise Ray would run all of them on an event loop of its own, which a flow on trio
would block.
"""

from __future__ import annotations

import os
import platform
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from pipeline.engines.ray.worker import Job

ANSWER_SECONDS = 5.0  # that a message may take on its way, besides the time for which it is parked; Ray itself sends it again
LEAST_NODES_CPU = 1.0  # of a node, that a worker asks for on a cluster, so that a fleet grows with the workers


class Worker:
    """One process that sends."""

    def __init__(self) -> None:
        import ray  # noqa: PLC0415  it is loaded where this runs

        from pipeline.engines.ray.lean import begin_lean  # noqa: PLC0415  likewise

        begin_lean(ray)  # before Ray unpacks what `run` is given

    def run(self, job: Job, coordinator: Any, name: str) -> str:
        """Work until the run is finished or stops. Says where and with what this worker has failed, "" if it has not."""
        import ray  # noqa: PLC0415  it is loaded where this runs
        import trio  # noqa: PLC0415  likewise

        from pipeline.edges.process.memory import keep_large_blocks  # noqa: PLC0415  likewise
        from pipeline.engines.ray.worker import in_a_line, work  # noqa: PLC0415  likewise

        keep_large_blocks()

        def call(message: bytes, park: float) -> bytes:
            try:
                answer: bytes = ray.get(coordinator.poll.remote(message, park), timeout=park + ANSWER_SECONDS)
            except (ray.exceptions.RayError, TimeoutError) as error:
                raise OSError(f"the coordinator does not answer: {error}") from error
            return answer

        try:
            trio.run(work, job, call, name)
        except Exception as error:  # noqa: BLE001  the driver has the run stop with it
            traceback.print_exc()  # into the log that Ray keeps of this process
            return f" on {platform.node()}: {in_a_line(error)}"  # what a node lacks, a key for instance, the others may have
        return ""

    def process(self) -> int:
        """Its process id."""
        return os.getpid()


def coordinator_class(ray: ModuleType) -> Any:
    """The coordinator's actor class, on the driver's node. If its process dies it is begun again, and goes on from the saved ages."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415  it is loaded by now

    from pipeline.engines.ray.coordinator import Coordinator  # noqa: PLC0415  only the driver needs it here

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)  # where the run directory is
    return ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=10_000, scheduling_strategy=here)(Coordinator)


def worker_class(ray: ModuleType, address: str) -> Any:
    """The workers' actor class. The driver begins another one in the place of one that died, under another name."""
    cpus = 0.0 if address == "local" else LEAST_NODES_CPU
    return ray.remote(num_cpus=cpus, max_restarts=0, scheduling_strategy="SPREAD")(Worker)

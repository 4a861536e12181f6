"""headrace's simulated provider as the harness's server, where faults matter more than speed. Steered as `benchmarks.server` is.

Its process ends with its standard input. `reset` starts it anew on the same port: a row's faults fall on its first attempts.
"""

from __future__ import annotations

import json
import sys

import trio

from benchmarks.peers.task import cpu_seconds
from benchmarks.server import say
from pipeline.simulate import Distribution, LatencyConfig, Provider, SimulateConfig, serve


def simulated(settings: dict[str, object]) -> SimulateConfig:
    """The provider that a scenario describes."""
    latency = LatencyConfig(distribution=Distribution.UNIFORM, median_seconds=0.02, spread=0.5)
    return SimulateConfig(latency=latency, **settings)  # type: ignore[arg-type]


def seen(provider: Provider, cpu_before: float) -> dict[str, float]:
    """Its statistics, by the names that the fast server gives them."""
    statistics = provider.statistics()
    return {
        "requests": statistics.requests,
        "refused": statistics.answers.get(429, 0),
        "accepted": statistics.connections,
        "most_in_flight": statistics.max_concurrent,
        "most_in_a_second": statistics.max_requests_in_second,
        "cpu_seconds": cpu_seconds() - cpu_before,
    }


async def main() -> None:
    """Serve until standard input closes."""
    config = simulated(json.loads(sys.argv[1]))
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    announced = False
    while True:
        provider, cpu_before = Provider(config), cpu_seconds()
        async with trio.open_nursery() as nursery:
            base_url: str = await nursery.start(lambda task_status: serve(config, port=port, provider=provider, task_status=task_status))  # noqa: B023
            port = int(base_url.rsplit(":", 1)[1].removesuffix("/v1"))
            say({"port": port} if not announced else {})
            announced = True
            while (command := (await trio.to_thread.run_sync(sys.stdin.readline)).split()) and command[0] == "stats":
                say(seen(provider, cpu_before))
            nursery.cancel_scope.cancel()
        if not command:
            return


if __name__ == "__main__":
    trio.run(main)

"""headrace's simulated provider as the harness's server, where limits and faults matter more than speed. Steered as `benchmarks.server` is.

Its process ends with its standard input. `reset` starts it again on the same port: its limits are unused then, and a row's faults fall
on its first attempts.
"""

from __future__ import annotations

import json
import sys

import trio

from benchmarks.peers.task import cpu_seconds
from benchmarks.server import say
from pipeline.config.load import load_simulate
from pipeline.simulate import Provider, SimulateConfig, serve

LATENCY = {"distribution": "uniform", "median_seconds": 0.02, "spread": 0.5}
LEARNING_SECONDS = 10.0  # what a client may take to find an unknown limit


def simulated(settings: dict[str, object]) -> SimulateConfig:
    """The provider that a scenario describes, by the keys of a config. Every request is remembered until the statistics are asked for."""
    told = {"latency": LATENCY, "ledger_length": 1_000_000, **settings}
    return load_simulate([f"{key}={json.dumps(value)}" for key, value in told.items()])


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
        **passing([(request["at"], request["status"] == 200) for request in provider.tally.ledger]),
    }


def passing(requests: list[tuple[float, bool]]) -> dict[str, float]:
    """How fast requests passed: over all of the run but its last twentieth, when the rows run out, and from 10 s on.

    requests: when each came, and whether it passed.
    """
    passed = [at for at, ok in requests if ok]
    counted = passed[: len(passed) * 19 // 20]
    if len(counted) < 2:
        return {}
    first, last = requests[0][0], counted[-1]
    later = [at for at in counted if at >= first + LEARNING_SECONDS]
    found = {"passed_per_second": len(counted) / (last - first)} if last > first else {}
    if later and last > first + LEARNING_SECONDS:
        found["later_passed_per_second"] = len(later) / (last - first - LEARNING_SECONDS)
    return found


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

"""A simulated OpenAI-compatible provider on loopback: latency, limits and faults by a seeded plan, answers by the prompt alone.

    async with trio.open_nursery() as nursery:
        base_url = await nursery.start(serve, SimulateConfig())

Everything is decided in pure modules (`plan`, `limits`, `answers`, `replies`, `wire`, joined by `provider`); only `server`
touches a socket.
"""

from pipeline.simulate.answers import expected_answer, expected_vector
from pipeline.simulate.config import Dialect, Distribution, LatencyConfig, LimitKind, RetryAfter, SimulateConfig, SimulatedLimits
from pipeline.simulate.faults import LASTING, QUIRKS, Fault
from pipeline.simulate.provider import Exchange, Provider, Request
from pipeline.simulate.server import serve
from pipeline.simulate.tally import Statistics

__all__ = [
    "SimulateConfig",
    "LatencyConfig",
    "SimulatedLimits",
    "Distribution",
    "LimitKind",
    "Dialect",
    "RetryAfter",
    "Fault",
    "QUIRKS",
    "LASTING",
    "serve",
    "Provider",
    "Request",
    "Exchange",
    "Statistics",
    "expected_answer",
    "expected_vector",
]

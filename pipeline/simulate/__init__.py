"""A simulated provider on loopback: latency, limits and faults by a seeded plan, answers by the prompt alone, in any usual shape.

    async with trio.open_nursery() as nursery:
        base_url = await nursery.start(serve, SimulateConfig())

Everything is decided in pure modules, joined by `provider`; only `server` and `connection` touch a socket. The config is there at
once; what serves is imported when it is asked for, so that reading a config stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.simulate.choices import Dialect, Distribution, LimitKind, RetryAfter, Vendor
from pipeline.simulate.config import LatencyConfig, SimulateConfig, SimulatedStream
from pipeline.simulate.faults import LASTING, QUIRKS, Fault
from pipeline.simulate.limits_config import SimulatedChange, SimulatedLimits, SimulatedNeighbour
from pipeline.simulate.schedule_config import SimulatedKey, SimulatedOutage, SimulatedQuota

if TYPE_CHECKING:
    from pipeline.simulate.answers import expected_answer, expected_vector
    from pipeline.simulate.exchange import Exchange, Request
    from pipeline.simulate.provider import Provider
    from pipeline.simulate.server import serve
    from pipeline.simulate.tally import Statistics

__all__ = [
    "SimulateConfig",
    "LatencyConfig",
    "SimulatedLimits",
    "SimulatedChange",
    "SimulatedNeighbour",
    "SimulatedKey",
    "SimulatedQuota",
    "SimulatedOutage",
    "SimulatedStream",
    "Vendor",
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

_HOMES = {
    "serve": "server",
    "Provider": "provider",
    "Request": "exchange",
    "Exchange": "exchange",
    "Statistics": "tally",
    "expected_answer": "answers",
    "expected_vector": "answers",
}


def __getattr__(name: str) -> object:
    """What is imported late."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

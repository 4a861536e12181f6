"""The settings of a simulated provider: frozen values with their checks, all with defaults. Nothing here acts.

The defaults are a provider without latency, limits or faults. The annotations are read at run time, so they must stay real types.
"""

from collections.abc import Mapping
from types import MappingProxyType

from attrs import field, frozen

from pipeline.simulate.checks import at_least_0, at_least_1, between, scripts, shares
from pipeline.simulate.choices import Distribution, Vendor
from pipeline.simulate.limits_config import SimulatedLimits
from pipeline.simulate.schedule_config import SimulatedKey, SimulatedOutage, SimulatedQuota


@frozen(kw_only=True)
class LatencyConfig:
    """Time to the first byte of an answer: a draw by the distribution, plus so much for each output token, at most a maximum."""

    distribution: Distribution = Distribution.CONSTANT
    median_seconds: float = field(default=0.0, validator=between(0, 86_400))
    spread: float = field(default=0.5, validator=between(0, 10))
    per_token_seconds: float = field(default=0.0, validator=between(0, 60))
    max_seconds: float = field(default=60.0, validator=between(0, 86_400))

    def __attrs_post_init__(self) -> None:
        """A uniform spread above 1 would be a negative time."""
        if self.distribution is Distribution.UNIFORM and self.spread > 1:
            raise ValueError(f"spread must be between 0 and 1 for uniform, got {self.spread!r}")


@frozen(kw_only=True)
class SimulatedStream:
    """How a streamed answer is cut into events. event_characters: of the content in one. events_at_once: in one write.

    The time to the first event is the latency's; per_token_seconds is spent between the events.
    """

    event_characters: int = field(default=16, validator=at_least_1)
    events_at_once: int = field(default=1, validator=at_least_1)


@frozen(kw_only=True)
class SimulateConfig:
    """A simulated provider.

    seed: of every draw. vendor: in whose words keys, models and quotas are refused. api_key, keys: what a client must show;
    without any of them everybody is let in. models: what GET /v1/models lists. only_models: a model that is not listed is not
    found; else any is answered. quota: what each key may use up in all. outages: times of the whole provider.
    faults: share of the rows that each fault falls on, by name. faulty_attempts: how many first attempts of such a row are hit.
    poison: share of the rows of which every attempt is hit. flaky: share of all attempts, each drawn by itself. script: rows
    with a fate of their own, see `script.py`. retry_after_seconds: the wait that faults ask for. drip_seconds: between two bytes
    of a drip. answer_characters: answers are made at least this long. max_body_bytes: larger requests get a 413.
    ledger_length: how many of the latest requests are kept to be asked for.
    """

    seed: int = 0
    vendor: Vendor = Vendor.OPENAI
    api_key: str | None = field(default=None, repr=False)
    keys: tuple[SimulatedKey, ...] = ()
    models: tuple[str, ...] = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
    only_models: bool = False
    latency: LatencyConfig = field(factory=LatencyConfig)
    stream: SimulatedStream = field(factory=SimulatedStream)
    limits: SimulatedLimits = field(factory=SimulatedLimits)
    quota: SimulatedQuota = field(factory=SimulatedQuota)
    outages: tuple[SimulatedOutage, ...] = ()
    faults: Mapping[str, float] = field(factory=lambda: MappingProxyType({}), validator=shares)
    faulty_attempts: int = field(default=1, validator=at_least_0)
    poison: Mapping[str, float] = field(factory=lambda: MappingProxyType({}), validator=shares)
    flaky: Mapping[str, float] = field(factory=lambda: MappingProxyType({}), validator=shares)
    script: Mapping[str, str] = field(factory=lambda: MappingProxyType({}), validator=scripts)
    retry_after_seconds: float = field(default=0.1, validator=between(0, 86_400))
    drip_seconds: float = field(default=0.05, validator=between(0.001, 3600))
    answer_characters: int = field(default=0, validator=between(0, 100_000_000))
    max_body_bytes: int = field(default=64 * 2**20, validator=at_least_1)
    ledger_length: int = field(default=1000, validator=between(0, 1_000_000))

    def __attrs_post_init__(self) -> None:
        """A key stands for one account."""
        names = [key.key for key in self.keys]
        if len({*names}) < len(names) or self.api_key in names:
            raise ValueError("keys must differ from one another and from api_key")

"""The settings of keys and outages: frozen values with their checks. Nothing here acts.

The annotations are read at run time, so they must stay real types.
"""

from attrs import field, frozen

from pipeline.simulate.checks import at_least_0, between, named, one_cause, positive_or_none
from pipeline.simulate.limits_config import SimulatedLimits

REFUSED = "connection_refused"
SLOW = "slow"


@frozen(kw_only=True)
class SimulatedOutage:
    """A time in which every request meets the same fate.

    at_seconds: since the provider started. seconds: how long; None is for ever. fault: a fault by name, or `connection_refused`,
    or `slow`: answers take `factor` times as long.
    """

    fault: str = field(validator=named(REFUSED, SLOW))
    at_seconds: float = field(default=0.0, validator=at_least_0)
    seconds: float | None = field(default=None, validator=positive_or_none)
    factor: float = field(default=10.0, validator=between(1, 10_000))

    def holds(self, seconds: float) -> bool:
        """Whether it is on so long after the start."""
        return self.at_seconds <= seconds < self.end

    @property
    def end(self) -> float:
        """When it is over, in seconds since the start."""
        return float("inf") if self.seconds is None else self.at_seconds + self.seconds


@frozen(kw_only=True)
class SimulatedQuota:
    """What a key may use up in all. requests: answered ones. tokens: of their prompts and answers. cause: how its end is told."""

    requests: int | None = field(default=None, validator=positive_or_none)
    tokens: int | None = field(default=None, validator=positive_or_none)
    cause: str = field(default="quota_exhausted", validator=one_cause)


@frozen(kw_only=True)
class SimulatedKey:
    """One of several keys, with counts of its own. limits, quota: None takes the provider's. outages: of this key alone."""

    key: str = field(repr=False)
    limits: SimulatedLimits | None = None
    quota: SimulatedQuota | None = None
    outages: tuple[SimulatedOutage, ...] = ()

    def __attrs_post_init__(self) -> None:
        """A key has text, and a connection is refused before any key is shown."""
        if not self.key:
            raise ValueError("key must not be empty")
        if any(outage.fault == REFUSED for outage in self.outages):
            raise ValueError(f"outages of a key cannot be {REFUSED}: a connection is refused before a key is shown")

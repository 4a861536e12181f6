"""The keys of a provider, each with its own limits, quota and outages. Pure: `now` is an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from pipeline.simulate.faults import Fault
from pipeline.simulate.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.simulate.config import SimulateConfig
    from pipeline.simulate.limits_config import SimulatedLimits
    from pipeline.simulate.schedule_config import SimulatedOutage, SimulatedQuota


@define
class Account:
    """What belongs to one key. requests, tokens: what it has used up of its quota."""

    limits_config: SimulatedLimits
    quota: SimulatedQuota
    outages: tuple[SimulatedOutage, ...]
    started: float
    requests: int = 0
    tokens: int = 0
    _limits: dict[str, Limits] = field(factory=dict)

    def limits(self, model: str) -> Limits:
        """The limits that a request for a model meets."""
        shared_by = model if self.limits_config.per_model else ""
        if shared_by not in self._limits:
            self._limits[shared_by] = Limits(self.limits_config, self.started)
        return self._limits[shared_by]

    def spend(self, tokens: int) -> None:
        """Count a right answer."""
        self.requests += 1
        self.tokens += tokens

    @property
    def spent(self) -> Fault | None:
        """What the key is told once its quota is used up."""
        over = (self.quota.requests is not None and self.requests >= self.quota.requests) or (
            self.quota.tokens is not None and self.tokens >= self.quota.tokens
        )
        return Fault(self.quota.cause) if over else None


class Accounts:
    """All keys. Without any configured, everybody shares one account."""

    def __init__(self, config: SimulateConfig, started: float) -> None:
        shared = Account(config.limits, config.quota, (), started)
        self._anybody = None if config.keys or config.api_key is not None else shared
        self._by_key = {} if config.api_key is None else {config.api_key: shared}
        for key in config.keys:
            self._by_key[key.key] = Account(key.limits or config.limits, key.quota or config.quota, key.outages, started)

    def of(self, shown: Iterable[str]) -> Account | None:
        """The account of the first known key among those that a request shows; None if it may not enter."""
        if self._anybody is not None:
            return self._anybody
        return next((self._by_key[key] for key in shown if key in self._by_key), None)

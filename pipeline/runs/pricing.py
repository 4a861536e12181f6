"""What a run's answers cost, by the rates of its config or by a table of models.

The built-in table is made from genai-prices (MIT, see `tools/make_price_table.py`) at a release and has its date. With the extra
`prices` the installed genai-prices is read instead: once, when a run begins, because asking it for each row costs 57 µs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.config.lanes import LaneConfig, PriceSource
from pipeline.core.pacing.budget import PICO
from pipeline.core.pacing.prices import PriceTable, Rates, Tier
from pipeline.errors import ConfigError, Problem
from pipeline.records import NO_USAGE, Usage
from pipeline.runs.names import lane_name

if TYPE_CHECKING:
    from pipeline.config import Config, PricesConfig, ProviderConfig
    from pipeline.records import Job, Outcome

TABLE = Path(__file__).with_name("price_table.json")


class _Named(msgspec.Struct, gc=False):
    """A reply or a request, as far as it names its model."""

    model: str | None = None
    modelVersion: str | None = None  # noqa: N815  Google's name for it


_decode_named = msgspec.json.Decoder(_Named).decode


class Pricing:
    """Knows what a model's tokens cost. unknown: models of answers for which no price is known.

    table: None where all models cost the same, `fixed`. model: the one that the config names, for answers that name none.
    asked: the one that takes the place of that in each request, if there is one.
    """

    def __init__(self, fixed: Rates | None, table: PriceTable | None, model: str | None = None, asked: str | None = None) -> None:
        self.fixed = fixed
        self.table = table
        self.unknown: dict[str, None] = {}
        self._model = model
        self._asked = asked
        self._known: dict[str, Rates | None] = {}

    @property
    def source(self) -> str | None:
        """Which table the prices are from, and its date; None for rates of the config."""
        return None if self.table is None else f"{self.table.source}, {self.table.date}"

    def rates(self, model: str | None) -> Rates | None:
        """The rates of a model; None if no price is known."""
        if self.fixed is not None or self.table is None:
            return self.fixed
        name = model or self._model or ""
        if name not in self._known:
            self._known[name] = self.table.rates(name)
        return self._known[name]

    def rates_of(self, body: bytes) -> Rates | None:
        """The rates of the model that a request asks for; None if no price is known."""
        return self.fixed or self.rates(self._asked or _model_of(body))

    def cost(self, outcome: Outcome, usage: Usage) -> int | None:
        """What a row cost, in PICO; None if its model has no known price. usage: all tokens that were spent on it."""
        if usage is NO_USAGE or not (usage.prompt_tokens or usage.output_tokens):
            return 0
        model = None if self.fixed is not None else _model_of(outcome.body)
        rates = self.rates(model)
        if rates is None:
            self.unknown.setdefault(model or self._model or "(not named)")
            return None
        return rates.cost(usage, outcome.rejected + outcome.ok)

    def cost_of_attempt(self, job: Job, usage: Usage) -> float | None:
        """What an attempt cost, in units of the currency, by the model that its request asks for; None if that is not known."""
        if usage is NO_USAGE:
            return 0.0
        rates = self.rates_of(job.body)
        return None if rates is None else rates.cost(usage) / PICO

    def cost_of_tokens(self, prompt_tokens: int, output_tokens: int) -> float | None:
        """What this many tokens of the configured model cost, in units of the currency; None if that is not known."""
        rates = self.rates(None)
        if rates is None:
            return None
        tier = rates.tiers[0]  # a sum says nothing of the size of each request
        return as_money(prompt_tokens * tier.prompt + output_tokens * tier.output)


class LanePrices:
    """What answers cost by the lane that gave them.

    by_lane: prices by the names of the lanes; "" is the only one. unknown: models of answers for which no price is known.
    """

    def __init__(self, by_lane: dict[str, Pricing]) -> None:
        self.by_lane: dict[str, Pricing] = {}
        self.unknown: dict[str, None] = {}
        self._take(by_lane)

    def become(self, other: LanePrices) -> None:
        """Take other prices; those of lanes that are gone stay for what is still in flight there."""
        self._take(other.by_lane)

    def _take(self, by_lane: dict[str, Pricing]) -> None:
        self.by_lane.update(by_lane)
        for pricing in by_lane.values():
            pricing.unknown = self.unknown

    def cost(self, outcome: Outcome, usage: Usage) -> int | None:
        """What a row cost, in PICO; None if that is not known. usage: all tokens that were spent on it."""
        pricing = self.by_lane.get(outcome.lane)
        return 0 if pricing is None else pricing.cost(outcome, usage)

    def cost_of_attempt(self, job: Job, usage: Usage, lane: str) -> float | None:
        """What an attempt on a lane cost, in units of the currency; None if that is not known."""
        pricing = self.by_lane.get(lane)
        return None if pricing is None else pricing.cost_of_attempt(job, usage)

    def most_for_tokens(self, prompt_tokens: int, output_tokens: int) -> float | None:
        """What this many tokens cost at most, whatever lane answers; None if that is not known."""
        costs = [pricing.cost_of_tokens(prompt_tokens, output_tokens) for pricing in self.by_lane.values()]
        known = [cost for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None


def as_money(pico: int) -> float:
    """PICO as units of the currency."""
    return round(pico / PICO, 6)


def prices_of(config: Config) -> LanePrices | None:
    """The prices of every lane; None if a lane has none. Raises ConfigError if a table is not installed."""
    found = {lane_name(config, index): pricing_of(config, provider) for index, provider in enumerate(config.lanes)}
    known = {name: pricing for name, pricing in found.items() if pricing is not None}
    return LanePrices(known) if len(known) == len(found) else None


def pricing_of(config: Config, provider: ProviderConfig) -> Pricing | None:
    """The prices of one lane: its own, or those of the run; None if there are none. Raises ConfigError as `prices_of`."""
    lane = provider if isinstance(provider, LaneConfig) else None
    prices = config.prices if lane is None or lane.prices is None else lane.prices
    if prices is None:
        return None
    body = config.request.body if config.request is not None else None
    model = body.get("model") if isinstance(body, dict) else None
    named = model if isinstance(model, str) else None
    own = None if lane is None else lane.model
    if prices.table is PriceSource.GENAI_PRICES:
        return Pricing(None, _installed(), own or named, own)
    if prices.table is not None:
        return Pricing(None, msgspec.json.decode(TABLE.read_bytes(), type=PriceTable), own or named, own)
    return Pricing(_fixed(prices), None, own or named, own)


def _fixed(prices: PricesConfig) -> Rates:
    assert prices.prompt_per_million is not None  # the config has both, or a table
    assert prices.output_per_million is not None
    rates = (prices.prompt_per_million, prices.output_per_million, prices.cached_per_million, prices.cache_write_per_million)
    return Rates((Tier.per_million(*rates),))


def _installed() -> PriceTable:
    try:
        from pipeline.runs.genai_table import read_table  # noqa: PLC0415  150 ms that only who asks for it pays

        return read_table()
    except ImportError:
        message = "the price table of genai-prices is not installed: pip install 'headrace[prices]', or write `table: builtin`"
        raise ConfigError([Problem("prices.table", message, "config")]) from None


def _model_of(body: bytes | None) -> str | None:
    try:
        named = _decode_named(body or b"{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    return named.model or named.modelVersion

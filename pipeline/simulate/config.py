"""What a simulated provider can be told: frozen values with their checks, all with defaults. Nothing here acts.

The defaults are a provider without latency, limits or faults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

from attrs import Attribute, field, frozen

from pipeline.simulate.script import fault_named, parse_steps


class Distribution(Enum):
    """How the latency is spread around its median."""

    CONSTANT = "constant"
    UNIFORM = "uniform"  # median times 1 ± spread
    LOGNORMAL = "lognormal"  # spread is sigma
    PARETO = "pareto"  # spread is 1 / alpha: 0.5 has a heavy tail, 1 has no mean


class LimitKind(Enum):
    """How a limit counts."""

    FIXED_WINDOW = "fixed_window"
    SLIDING_WINDOW = "sliding_window"
    TOKEN_BUCKET = "token_bucket"  # noqa: S105  the algorithm


class Dialect(Enum):
    """Whose headers and error bodies speak of the limits."""

    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    NONE = "none"


class RetryAfter(Enum):
    """Where a refusal says how long to wait."""

    HEADER = "header"  # retry-after, seconds with a fraction
    MS = "ms"  # retry-after-ms, and retry-after in whole seconds
    DATE = "date"  # retry-after, HTTP date
    MESSAGE = "message"  # in the text of the error only
    RELAY = "relay"  # llm_provider-retry-after, as behind a LiteLLM proxy
    NONE = "none"


Check = Callable[[object, "Attribute[Any]", Any], None]


def _between(low: float, high: float) -> Check:
    def check(_: object, attribute: Attribute[Any], value: float) -> None:
        if not low <= value <= high:
            bound = f">= {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
            raise ValueError(f"{attribute.name} must be {bound}, got {value!r}")

    return check


def _positive_or_none(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be > 0, got {value!r}")


def _shares(_: object, attribute: Attribute[Any], value: Mapping[str, float]) -> None:
    for name, share in value.items():
        try:
            fault_named(name)
        except ValueError as error:
            raise ValueError(f"{attribute.name}.{name}: {error}") from None
        if not 0 <= share <= 1:
            raise ValueError(f"{attribute.name}.{name} must be a share between 0 and 1, got {share!r}")
    if (total := sum(value.values())) > 1 + 1e-9:
        raise ValueError(f"{attribute.name} must sum to at most 1, got {total:g}")


def _scripts(_: object, attribute: Attribute[Any], value: Mapping[str, str]) -> None:
    for key, text in value.items():
        if not key:
            raise ValueError(f"{attribute.name} has an empty key; a key is a number or a text to find")
        try:
            parse_steps(text)
        except ValueError as error:
            raise ValueError(f"{attribute.name}.{key}: {error}") from None


ENDLESS = float("inf")
at_least_0 = _between(0, ENDLESS)
at_least_1 = _between(1, ENDLESS)


@frozen(kw_only=True)
class LatencyConfig:
    """Time to the first byte of an answer: a draw by the distribution, plus so much for each output token, at most a maximum."""

    distribution: Distribution = Distribution.CONSTANT
    median_seconds: float = field(default=0.0, validator=_between(0, 86_400))
    spread: float = field(default=0.5, validator=_between(0, 10))
    per_token_seconds: float = field(default=0.0, validator=_between(0, 60))
    max_seconds: float = field(default=60.0, validator=_between(0, 86_400))

    def __attrs_post_init__(self) -> None:
        """A uniform spread above 1 would be a negative time."""
        if self.distribution is Distribution.UNIFORM and self.spread > 1:
            raise ValueError(f"spread must be between 0 and 1 for uniform, got {self.spread!r}")


@frozen(kw_only=True)
class SimulatedLimits:
    """The provider's own limits.

    window_seconds: the per-minute limits are enforced in proportion over windows of this length, as Azure does; None is
    the minute itself. count_refused: a refused request uses up the requests limit as well, as at OpenAI.
    """

    kind: LimitKind = LimitKind.SLIDING_WINDOW
    requests_per_second: float | None = field(default=None, validator=_positive_or_none)
    requests_per_minute: float | None = field(default=None, validator=_positive_or_none)
    tokens_per_minute: float | None = field(default=None, validator=_positive_or_none)
    window_seconds: float | None = field(default=None, validator=_positive_or_none)
    count_refused: bool = True
    dialect: Dialect = Dialect.OPENAI
    retry_after: RetryAfter = RetryAfter.HEADER


@frozen(kw_only=True)
class SimulateConfig:
    """A simulated provider.

    seed: of every draw. api_key: what a client must show; None lets everybody in. models: what GET /v1/models lists; any
    model is answered. faults: share of the rows that each fault falls on, by name. faulty_attempts: so many first attempts
    of such a row are hit. script: rows with a fate of their own, see `script.py`. retry_after_seconds: the wait that the
    faults http_429, http_503, http_529 and rate_limit_500 ask for. drip_seconds: between two bytes of a drip.
    answer_characters: answers are made at least this long. max_body_bytes: larger requests get a 413. ledger_length: so
    many latest requests are kept to be asked for.
    """

    seed: int = 0
    api_key: str | None = field(default=None, repr=False)
    models: tuple[str, ...] = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
    latency: LatencyConfig = field(factory=LatencyConfig)
    limits: SimulatedLimits = field(factory=SimulatedLimits)
    faults: Mapping[str, float] = field(factory=lambda: MappingProxyType({}), validator=_shares)
    faulty_attempts: int = field(default=1, validator=at_least_0)
    script: Mapping[str, str] = field(factory=lambda: MappingProxyType({}), validator=_scripts)
    retry_after_seconds: float = field(default=0.1, validator=_between(0, 86_400))
    drip_seconds: float = field(default=0.05, validator=_between(0.001, 3600))
    answer_characters: int = field(default=0, validator=_between(0, 100_000_000))
    max_body_bytes: int = field(default=64 * 2**20, validator=at_least_1)
    ledger_length: int = field(default=1000, validator=_between(0, 1_000_000))

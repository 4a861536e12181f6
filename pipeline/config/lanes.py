"""Where requests go, and what may be sent there: one provider, or several lanes with limits, prices and budgets of their own.

Held to its rules when it is made, as all of the config (`schema`). The annotations are read at run time, so they must stay real types.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from pipeline.config.rules import (
    above,
    at_least,
    base_url,
    environment_name,
    file,
    header_name,
    headers,
    must,
    not_empty,
    program,
    refuse,
    share_name,
    socket_path,
    typed,
)
from pipeline.simulate.config import SimulateConfig


class PriceSource(Enum):
    """Where prices come from: the table that headrace brings, or the installed genai-prices."""

    BUILTIN = "builtin"
    GENAI_PRICES = "genai-prices"


class Strategy(Enum):
    """How a lane is chosen: the one that lets a row leave soonest."""

    EARLIEST = "earliest"


class Transport(Enum):
    """Who speaks HTTP: headrace itself, or httpx (which knows proxies)."""

    OWN = "own"
    HTTPX = "httpx"


@frozen(kw_only=True, field_transformer=typed)
class TlsConfig:
    """PEM files. ca: trusted in place of the system's store. certificate: shown to the server; its key may be in the same file.

    There is no way to switch verification off.
    """

    ca: str | None = field(default=None, validator=must(not_empty, file))
    certificate: str | None = field(default=None, validator=must(not_empty, file))
    key: str | None = field(default=None, validator=must(not_empty, file))

    def __attrs_post_init__(self) -> None:
        """A key proves nothing by itself."""
        if self.key is not None and self.certificate is None:
            refuse(self, "key", "is of no use without provider.tls.certificate; name the certificate that it belongs to")


@frozen(kw_only=True, field_transformer=typed)
class ConnectionConfig:
    """How long a connection is used; it is closed between two requests, and another one opened. None: as long as the server keeps it."""

    max_requests: int | None = field(default=None, validator=must(at_least(1)))
    max_seconds: float | None = field(default=None, validator=must(above(0)))


@frozen(kw_only=True, field_transformer=typed)
class FromEnvironment:
    """A header's value that no config may hold. env: the environment variable that holds it."""

    env: str = field(validator=must(environment_name))


@frozen(kw_only=True, field_transformer=typed)
class ProviderConfig:
    """Where requests go: exactly one of base_url and simulate.

    api_key_env: the environment variable that holds the key; None sends none. api_key_file, api_key_command: where it is read instead, and
    read again when the provider refuses it; at most one of the three. api_key_header: "authorization" sends
    `Authorization: Bearer KEY`, any other name the bare key. headers: sent with every request; their values stay out of repr.
    A value that is secret is `FromEnvironment`. model: replaces the model in each request.
    unix_socket: connected to in place of base_url's host. http2: spoken where the server offers it. A simulated provider
    is spoken to plainly, whatever tls, unix_socket and http2 say.
    """

    base_url: str | None = field(default=None, validator=must(base_url))
    simulate: SimulateConfig | None = None
    api_key_env: str | None = field(default=None, validator=must(environment_name))
    api_key_file: str | None = field(default=None, validator=must(not_empty, file))
    api_key_command: Sequence[str] | None = field(default=None, validator=must(program))
    api_key_header: str = field(default="authorization", validator=must(header_name))
    headers: Mapping[str, str | FromEnvironment] = field(factory=dict, validator=must(headers), repr=lambda shown: f"<{', '.join(shown)}>")
    model: str | None = field(default=None, validator=must(not_empty))
    transport: Transport = Transport.OWN
    http2: bool = False
    tls: TlsConfig = field(factory=TlsConfig)
    unix_socket: str | None = field(default=None, validator=must(not_empty, socket_path))
    connection: ConnectionConfig = field(factory=ConnectionConfig)

    def __attrs_post_init__(self) -> None:
        """What no field can know alone."""
        if self.base_url is None and self.simulate is None:
            refuse(self, "base_url", "missing required key; or write `simulate: {}` for the embedded provider")
        if self.base_url is not None and self.simulate is not None:
            refuse(self, "simulate", "base_url and simulate exclude each other; take one away (or set it to null)")
        if self.http2 and self.base_url is not None and not self.base_url.lower().startswith("https:"):
            refuse(self, "http2", "is agreed upon in the TLS handshake, so base_url must be https; take one of the two back")
        keys = [name for name in ("api_key_env", "api_key_file", "api_key_command") if getattr(self, name) is not None]
        if len(keys) > 1:
            refuse(self, keys[1], f"{' and '.join(keys)} exclude each other; take all but one away")
        for name in self.headers if keys else ():
            if name.lower() == self.api_key_header.lower():
                refuse(self, f"headers.{name}", "is where the key goes (provider.api_key_header); take it away")


@frozen(kw_only=True, field_transformer=typed)
class LimitsConfig:
    """What may leave, at most. A rate of None means no limit. learn: a rate is a ceiling, and the pace that the provider allows is found.

    shared: the name under which processes of this machine share these rates; None shares nothing.
    burst: requests that may leave at once; None is what is due within one tick of the gate. window: rows in memory at once;
    None is chosen from max_in_flight. window_bytes: of rows and answers in memory, besides those in flight.
    """

    learn: bool = True
    requests_per_second: float | None = field(default=None, validator=must(above(0)))
    requests_per_minute: float | None = field(default=None, validator=must(above(0)))
    tokens_per_minute: float | None = field(default=None, validator=must(above(0)))
    input_tokens_per_minute: float | None = field(default=None, validator=must(above(0)))
    output_tokens_per_minute: float | None = field(default=None, validator=must(above(0)))
    burst: int | None = field(default=None, validator=must(at_least(1)))
    shared: str | None = field(default=None, validator=must(share_name))
    max_in_flight: int = field(default=50, validator=must(at_least(1)))
    window: int | None = field(default=None, validator=must(at_least(1)))
    window_bytes: int = field(default=64_000_000, validator=must(at_least(1)))

    def __attrs_post_init__(self) -> None:
        """There must be something to share."""
        rates = (
            self.requests_per_second,
            self.requests_per_minute,
            self.tokens_per_minute,
            self.input_tokens_per_minute,
            self.output_tokens_per_minute,
        )
        if self.shared is not None and all(rate is None for rate in rates):
            refuse(self, "shared", "needs a limit to share; set requests_per_minute, tokens_per_minute or another rate")


@frozen(kw_only=True, field_transformer=typed)
class BudgetConfig:
    """The most that a run, or a lane of it, may spend, over all the times that it is resumed; None means no limit.

    cost: in the currency of the prices.
    """

    cost: float | None = field(default=None, validator=must(at_least(0)))
    tokens: int | None = field(default=None, validator=must(at_least(0)))
    requests: int | None = field(default=None, validator=must(at_least(0)))
    seconds: float | None = field(default=None, validator=must(at_least(0)))


@frozen(kw_only=True, field_transformer=typed)
class PricesConfig:
    """What a million tokens cost, in any one currency; for estimates and the summary. Either both rates, or a table.

    cached_per_million, cache_write_per_million: of prompt tokens that are read from the provider's cache or written to it;
    None for the rate of all others. table: rates of each model, in US dollars.
    """

    prompt_per_million: float | None = field(default=None, validator=must(at_least(0)))
    output_per_million: float | None = field(default=None, validator=must(at_least(0)))
    cached_per_million: float | None = field(default=None, validator=must(at_least(0)))
    cache_write_per_million: float | None = field(default=None, validator=must(at_least(0)))
    table: PriceSource | None = None

    def __attrs_post_init__(self) -> None:
        """What no field can know alone."""
        named = [self.prompt_per_million, self.output_per_million, self.cached_per_million, self.cache_write_per_million]
        if self.table is not None and any(rate is not None for rate in named):
            refuse(self, "table", "a table and rates exclude each other; take one away")
        for name, rate in (("prompt_per_million", self.prompt_per_million), ("output_per_million", self.output_per_million)):
            if self.table is None and rate is None:
                refuse(self, name, "missing required key; or write `table: builtin`")


@frozen(kw_only=True, field_transformer=typed)
class LaneConfig(ProviderConfig):
    """One of several providers, or one of several keys of the same.

    name: in messages and results; None is made of the host. weight: its share of the rows, where several could take them.
    priority: a higher number is used only while no lower one can take a row.
    limits: of this lane; None are those of the run, for this lane by itself. prices: of this lane; None are those of the run.
    budget: what may be spent on this lane, besides the run's.
    """

    name: str | None = field(default=None, validator=must(not_empty))
    weight: float = field(default=1.0, validator=must(above(0)))
    priority: int = field(default=0, validator=must(at_least(0)))
    limits: LimitsConfig | None = None
    prices: PricesConfig | None = None
    budget: BudgetConfig = field(factory=BudgetConfig)


@frozen(kw_only=True, field_transformer=typed)
class RoutingConfig:
    """Which lane takes a row. fallback_after_seconds: how long a row waits for a lane of a lower priority number."""

    strategy: Strategy = Strategy.EARLIEST
    fallback_after_seconds: float = field(default=0.0, validator=must(at_least(0)))

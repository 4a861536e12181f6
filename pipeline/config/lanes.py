"""Where requests go, and what may be sent there: one provider, or several lanes with limits, prices and budgets of their own.

Held to its rules when it is made, as all of the config (`schema`). The annotations are read at run time, so they must stay real types.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated

from msgspec import field

from pipeline.config.rules import (
    above,
    at_least,
    environment_name,
    file,
    header_name,
    not_empty,
    program,
    sendable_base_url,
    sendable_headers,
    share_name,
    socket_path,
)
from pipeline.config.sections import Section, refuse
from pipeline.records import Transport

if TYPE_CHECKING:
    from pipeline.simulate.config import SimulateConfig


class PriceSource(Enum):
    """Where prices come from: the table that headrace brings, or the installed genai-prices."""

    BUILTIN = "builtin"
    GENAI_PRICES = "genai-prices"


class Strategy(Enum):
    """How a lane is chosen: the one that lets a row leave soonest."""

    EARLIEST = "earliest"


class TlsConfig(Section, frozen=True, kw_only=True):
    """PEM files. ca: trusted in place of the system's store. certificate: shown to the server; its key may be in the same file.

    There is no way to switch verification off.
    """

    ca: Annotated[str | None, not_empty, file] = None
    certificate: Annotated[str | None, not_empty, file] = None
    key: Annotated[str | None, not_empty, file] = None

    def check_together(self) -> None:
        """A key proves nothing by itself."""
        if self.key is not None and self.certificate is None:
            refuse(self, "key", "is of no use without provider.tls.certificate; name the certificate that it belongs to")


class ConnectionConfig(Section, frozen=True, kw_only=True):
    """How long a connection is used; it is closed between two requests, and another one opened. None: as long as the server keeps it."""

    max_requests: Annotated[int | None, at_least(1)] = None
    max_seconds: Annotated[float | None, above(0)] = None


class FromEnvironment(Section, frozen=True, kw_only=True):
    """A header's value that no config may hold. env: the environment variable that holds it."""

    env: Annotated[str, environment_name]


class ProviderConfig(Section, frozen=True, kw_only=True):
    """Where requests go: exactly one of base_url and simulate.

    api_key_env: the environment variable that holds the key; None sends none. api_key_file, api_key_command: where it is read instead, and
    read again when the provider refuses it; at most one of the three. api_key_header: "authorization" sends
    `Authorization: Bearer KEY`, any other name the bare key. headers: sent with every request; their values stay out of repr.
    A value that is secret is `FromEnvironment`. model: replaces the model in each request.
    unix_socket: connected to in place of base_url's host. http2: spoken where the server offers it. A simulated provider
    is spoken to plainly, whatever tls, unix_socket and http2 say.
    """

    base_url: Annotated[str | None, sendable_base_url] = None
    simulate: "SimulateConfig | None" = None
    api_key_env: Annotated[str | None, environment_name] = None
    api_key_file: Annotated[str | None, not_empty, file] = None
    api_key_command: Annotated[Sequence[str] | None, program] = None
    api_key_header: Annotated[str, header_name] = "authorization"
    headers: Annotated[Mapping[str, str | FromEnvironment], sendable_headers] = field(default_factory=dict)
    model: Annotated[str | None, not_empty] = None
    transport: Transport = Transport.OWN
    http2: bool = False
    tls: TlsConfig = field(default_factory=TlsConfig)
    unix_socket: Annotated[str | None, not_empty, socket_path] = None
    connection: ConnectionConfig = field(default_factory=ConnectionConfig)

    def __repr__(self) -> str:
        """All of it but the values of headers, which may be secret."""
        shown = {name: repr(getattr(self, name)) for name in self.__struct_fields__}
        shown["headers"] = f"<{', '.join(self.headers)}>"
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in shown.items())})"

    def check_together(self) -> None:
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


class LimitsConfig(Section, frozen=True, kw_only=True):
    """What may leave, at most. A rate of None means no limit. learn: a rate is a ceiling, and the pace that the provider allows is found.

    shared: the name under which processes of this machine share these rates; None shares nothing.
    burst: requests that may leave at once; None is what is due within one tick of the gate. window: rows in memory at once;
    None is chosen from max_in_flight. window_bytes: of rows and answers in memory, besides those in flight.
    """

    learn: bool = True
    requests_per_second: Annotated[float | None, above(0)] = None
    requests_per_minute: Annotated[float | None, above(0)] = None
    tokens_per_minute: Annotated[float | None, above(0)] = None
    input_tokens_per_minute: Annotated[float | None, above(0)] = None
    output_tokens_per_minute: Annotated[float | None, above(0)] = None
    burst: Annotated[int | None, at_least(1)] = None
    shared: Annotated[str | None, share_name] = None
    max_in_flight: Annotated[int, at_least(1)] = 50
    window: Annotated[int | None, at_least(1)] = None
    window_bytes: Annotated[int, at_least(1)] = 64_000_000

    def check_together(self) -> None:
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


class BudgetConfig(Section, frozen=True, kw_only=True):
    """The most that a run, or a lane of it, may spend, over all the times that it is resumed; None means no limit.

    cost: in the currency of the prices.
    """

    cost: Annotated[float | None, at_least(0)] = None
    tokens: Annotated[int | None, at_least(0)] = None
    requests: Annotated[int | None, at_least(0)] = None
    seconds: Annotated[float | None, at_least(0)] = None


class PricesConfig(Section, frozen=True, kw_only=True):
    """What a million tokens cost, in any one currency; for estimates and the summary. Either both rates, or a table.

    cached_per_million, cache_write_per_million: of prompt tokens that are read from the provider's cache or written to it;
    None for the rate of all others. table: rates of each model, in US dollars.
    """

    prompt_per_million: Annotated[float | None, at_least(0)] = None
    output_per_million: Annotated[float | None, at_least(0)] = None
    cached_per_million: Annotated[float | None, at_least(0)] = None
    cache_write_per_million: Annotated[float | None, at_least(0)] = None
    table: PriceSource | None = None

    def check_together(self) -> None:
        """What no field can know alone."""
        named = [self.prompt_per_million, self.output_per_million, self.cached_per_million, self.cache_write_per_million]
        if self.table is not None and any(rate is not None for rate in named):
            refuse(self, "table", "a table and rates exclude each other; take one away")
        for name, rate in (("prompt_per_million", self.prompt_per_million), ("output_per_million", self.output_per_million)):
            if self.table is None and rate is None:
                refuse(self, name, "missing required key; or write `table: builtin`")


class LaneConfig(ProviderConfig, frozen=True, kw_only=True):
    """One of several providers, or one of several keys of the same.

    name: in messages and results; None is made of the host. weight: its share of the rows, where several could take them.
    priority: a higher number is used only while no lower one can take a row.
    limits: of this lane; None are those of the run, for this lane by itself. prices: of this lane; None are those of the run.
    budget: what may be spent on this lane, besides the run's.
    """

    name: Annotated[str | None, not_empty] = None
    weight: Annotated[float, above(0)] = 1.0
    priority: Annotated[int, at_least(0)] = 0
    limits: LimitsConfig | None = None
    prices: PricesConfig | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)


class RoutingConfig(Section, frozen=True, kw_only=True):
    """Which lane takes a row. fallback_after_seconds: how long a row waits for a lane of a lower priority number."""

    strategy: Strategy = Strategy.EARLIEST
    fallback_after_seconds: Annotated[float, at_least(0)] = 0.0

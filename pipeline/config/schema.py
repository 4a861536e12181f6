"""What a run is made of: the config as frozen records, and every rule on their values.

No YAML and no environment: a `Config` may be loaded (`pipeline.config.load`) or built in Python, and is held to the same rules
when it is made: a wrong value raises `ConfigError`. The annotations are read at run time, so they must stay real types.
"""

import os
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated

from msgspec import field
from msgspec.structs import force_setattr

from pipeline.config.answers import AnswersConfig
from pipeline.config.engine import EngineConfig
from pipeline.config.lanes import BudgetConfig, LaneConfig, LimitsConfig, PricesConfig, ProviderConfig, RoutingConfig
from pipeline.config.rules import (
    above,
    at_least,
    field_names,
    folder,
    input_paths,
    matches,
    not_empty,
    one_character,
    row_url,
    sendable_body,
    text_encoding,
)
from pipeline.config.sections import Section, refuse
from pipeline.config.serving import ServeConfig
from pipeline.core.output.keys import KEYS
from pipeline.core.rows.templates import JSON, Template, lookalikes

# Names of what a run does not write.
PACKED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip", ".br")
TABLES = (".parquet", ".arrow", ".feather", ".csv", ".tsv", ".xlsx")


class Order(Enum):
    """In which order results are written."""

    INPUT = "input"
    COMPLETION = "completion"


class Shape(Enum):
    """What an output line looks like."""

    BATCH = "batch"
    FLAT = "flat"


class Durability(Enum):
    """What the journal survives: the death of the process, or of the power."""

    PROCESS = "process"
    POWER = "power"


class SourceConfig(Section, frozen=True, kw_only=True):
    """path: the input file, a pattern, or a list of these, read one after the other; "-" is stdin.

    id: the field that names a row, None for `custom_id`. encoding: of the text.
    delimiter: of a table; None means that it is found in the header.
    """

    path: Annotated[str | Sequence[str], input_paths]
    id: Annotated[str | None, not_empty] = None
    encoding: Annotated[str, text_encoding] = "utf-8"
    delimiter: Annotated[str | None, one_character] = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files and patterns."""
        return (self.path,) if isinstance(self.path, str) else tuple(self.path)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.paths[0] if len(self.paths) == 1 else f"{self.paths[0]} and {len(self.paths) - 1} more"


class FilesConfig(Section, frozen=True, kw_only=True):
    """Files that requests carry. root: the folder that they are in; nothing outside of it is read. max_bytes: of one file."""

    root: Annotated[str, not_empty, folder]
    max_bytes: Annotated[int, at_least(1)] = 20_000_000


class RequestConfig(Section, frozen=True, kw_only=True):
    """How a row that is not an OpenAI Batch line becomes a request. Every text in the body is a template.

    same_for_all: a body that takes no field of the rows is meant. body_field: the field of a row that holds its whole body.
    files: where the files are that `{photo!data}` and the like send; None sends none.
    """

    url: Annotated[str, not_empty, row_url]
    body: Annotated[Mapping[str, JSON] | None, sendable_body] = None
    same_for_all: bool = False
    body_field: Annotated[str | None, not_empty] = None
    files: FilesConfig | None = None

    def check_together(self) -> None:
        """A body that takes nothing from the rows asks the same question for each of them, and is hardly ever meant."""
        if (self.body is None) == (self.body_field is None):
            refuse(self, "body", "missing required key" if self.body is None else "and body_field exclude each other")
        holes = () if self.body is None else Template.compile(self.body).files
        if holes and self.files is None:
            written = f"{{{holes[0].name}!{holes[0].conversion}}}"
            refuse(self, "body", f"sends files ({written}), which are read only from the folder that request.files.root names")
        if self.body is None or self.same_for_all or Template.compile(self.body).fields:
            return
        found = next(lookalikes(self.body), None)
        hint = f": {found}" if found else "; write {NAME}, in quotes, where the field NAME of a row should go"
        refuse(
            self, "body", f"takes no field of the rows, so every row would send the same request{hint} (or set request.same_for_all: true)"
        )


class TimeoutsConfig(Section, frozen=True, kw_only=True):
    """When an attempt is given up. idle_seconds: without a byte from the server. total_seconds: whatever happens.

    Of streamed answers, stall_seconds: without an event, comments and pings not counted. first_token_seconds: from the start.
    """

    connect_seconds: Annotated[float, above(0)] = 30.0
    idle_seconds: Annotated[float, above(0)] = 600.0
    total_seconds: Annotated[float, above(0)] = 600.0
    stall_seconds: Annotated[float | None, above(0)] = None
    first_token_seconds: Annotated[float | None, above(0)] = None


class RetryConfig(Section, frozen=True, kw_only=True):
    """How often a row is tried, the first attempt included, how the wait between attempts grows, and when a run has enough.

    patience_seconds: how long rows are held while nothing works. stop_after: rows in a row with the same permanent answer that
    stop the run; None goes on.
    """

    attempts: Annotated[int, at_least(1)] = 6
    base_seconds: Annotated[float, at_least(0)] = 0.5
    cap_seconds: Annotated[float, at_least(0)] = 60.0
    patience_seconds: Annotated[float, at_least(0)] = 600.0
    stop_after: Annotated[int | None, at_least(1)] = 20


class SinkConfig(Section, frozen=True, kw_only=True):
    """Where results go. keep: fields of the input row that flat lines carry along."""

    path: Annotated[str, not_empty]
    order: Order = Order.INPUT
    shape: Shape = Shape.BATCH
    keep: Annotated[Sequence[str], field_names] = ()

    def check_together(self) -> None:
        """Results are resumed, ordered and verified in a file."""
        if self.path == "-":
            refuse(self, "path", 'must be a file, got "-"')
        if self.path.endswith(os.sep):
            refuse(self, "path", f"names a folder; name a file in it, such as {self.path}results.jsonl")
        self._refuse_other_format()
        if self.keep and self.shape is not Shape.FLAT:
            refuse(self, "keep", "needs sink.shape: flat; a batch line has the keys of the Batch API and no others")
        for name in self.keep:
            if name in KEYS["flat"]:
                refuse(self, "keep", f"{name} is a key of every flat line already; give the input's field another name")

    def _refuse_other_format(self) -> None:
        """What the name of a file says must be in it."""
        name, ending = os.path.splitext(self.path)  # noqa: PTH122  paths are text here
        if ending.lower() in PACKED:
            refuse(
                self,
                "path",
                f"results are written as they come and gone on with later, so not compressed: name it {name}, and pack it later",
            )
        if ending.lower() in TABLES:
            made = ".csv" if ending == ".xlsx" else ending
            told = f"results are JSON Lines: name it {name}.jsonl, and make a {made} of it with headrace export"
            refuse(self, "path", told)


class JournalConfig(Section, frozen=True, kw_only=True):
    """path: None is beside the sink. history: keep what `headrace report` draws its plots from; no attempt by itself, 0.2 MB at most."""

    path: Annotated[str | None, not_empty] = None
    durability: Durability = Durability.PROCESS
    history: bool = True


class CacheConfig(Section, frozen=True, kw_only=True):
    """Answers kept over runs, by the whole request. path: an SQLite file that several runs may share. max_age_seconds: None is for ever."""

    path: Annotated[str, not_empty]
    max_age_seconds: Annotated[float | None, above(0)] = None


class MetricsConfig(Section, frozen=True, kw_only=True):
    """Who is told how a run goes. port: serves Prometheus on `host` while the run lasts. log: a file that gets one JSON line per attempt.

    opentelemetry: the metrics of its GenAI conventions, by the SDK that the process has set up.
    """

    port: Annotated[int | None, at_least(1)] = None
    host: Annotated[str, not_empty] = "127.0.0.1"
    log: Annotated[str | None, not_empty] = None
    opentelemetry: bool = False


class Config(Section, frozen=True, kw_only=True):
    """A whole run. Paths are taken as they are; `load_config` has made them absolute.

    provider: where requests go; or providers, several of them, then it is the first. dedupe: equal requests of a run are sent once.
    """

    source: SourceConfig
    request: RequestConfig | None = None
    provider: ProviderConfig = None  # type: ignore[assignment]  # the first lane takes its place
    providers: Sequence[LaneConfig] = ()
    routing: RoutingConfig = field(default_factory=RoutingConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)
    sink: SinkConfig
    journal: JournalConfig = field(default_factory=JournalConfig)
    prices: PricesConfig | None = None
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    dedupe: bool = False
    cache: CacheConfig | None = None
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)

    def check_together(self) -> None:
        """One file must not be used for two things, and rows that are not requests need a template."""
        self._check_lanes()
        source, sink = set(map(_identity, self.source.paths)), _identity(self.sink.path)
        if sink in source:
            refuse(self, "sink.path", "is the source; results need a file of their own")
        pattern = next((each for each in self.source.paths if matches(each, self.sink.path)), None)
        if pattern is not None:
            refuse(self, "sink.path", f"is matched by the source {pattern}; results need a file that is not read as input")
        if self.journal.path is not None and _identity(self.journal.path) in {*source, sink}:
            refuse(self, "journal.path", "is the source or the sink; the journal needs a file of its own")
        self._check_budgets()
        if self.cache is not None and _identity(self.cache.path) in {
            *source,
            sink,
            _identity(self.journal.path or f"{self.sink.path}.journal"),
        }:
            refuse(self, "cache.path", "is the source, the sink or the journal; the cache needs a file of its own")
        if self.request is None and any(_plain_name(path).endswith((".csv", ".tsv", ".txt")) for path in self.source.paths):
            refuse(self, "request", "missing required key: a row of this source needs request.url and request.body to become a request")

    def _check_budgets(self) -> None:
        needs = "needs prices; set prices.table: builtin, or prices.prompt_per_million and prices.output_per_million"
        unpriced = [index for index, lane in enumerate(self.providers) if lane.prices is None]
        if self.budget.cost is not None and self.prices is None and (unpriced or not self.providers):
            refuse(self, "budget.cost", needs)
        for index in unpriced if self.prices is None else ():
            if self.providers[index].budget.cost is not None:
                refuse(self, f"providers[{index}].budget.cost", needs.replace("set ", f"set providers[{index}]."))

    def _check_lanes(self) -> None:
        if self.provider is None:
            if not self.providers:
                refuse(self, "provider", "missing required key")
            force_setattr(self, "provider", self.providers[0])
        if self.providers and self.provider is not self.providers[0]:
            refuse(self, "providers", "provider and providers exclude each other; make provider the first of the list")
        names: set[str] = set()
        for index, lane in enumerate(self.providers):
            if lane.name in names:
                refuse(self, f"providers[{index}].name", f"is the name of an earlier one, too: {lane.name}")
            names |= {lane.name} if lane.name is not None else set()

    @property
    def lanes(self) -> tuple[ProviderConfig, ...]:
        """Where requests go, at least one."""
        return tuple(self.providers) or (self.provider,)


def _identity(path: str) -> str:
    return path if path == "-" else os.path.realpath(path)


def _plain_name(path: str) -> str:
    return path.lower().removesuffix(".gz").removesuffix(".zst")

"""headrace calls LLM HTTP APIs in bulk, fast, and loses nothing.

    summary = trio.run(pipeline.run, pipeline.load_config("configs/quickstart.yaml"))
    results = pipeline.run_batch(prompts, config)
    async for outcome in pipeline.stream(config, rows): ...
    results = await pipeline.aio.run_batch(prompts, config)

Everything public is in `__all__` here; import it from here. The modules below are private and may move.
A name is imported when it is first used, so that the command line starts at once; `homes` says from where.
No module here may have the name of a public function: importing the module would replace the function.
"""

# Nothing is imported here, not even `annotations` from `__future__`: whatever Python does before `__main__` runs, a Ctrl-C turns into
# a traceback. `typing`, `importlib` and the module with our version take 5 ms together.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.config import (
        AnswersConfig,
        BudgetConfig,
        CacheConfig,
        Config,
        ConnectionConfig,
        ExpectConfig,
        FromEnvironment,
        JournalConfig,
        LaneConfig,
        LimitsConfig,
        MetricsConfig,
        PricesConfig,
        ProviderConfig,
        RequestConfig,
        RetryConfig,
        RoutingConfig,
        SinkConfig,
        SourceConfig,
        TimeoutsConfig,
        TlsConfig,
        load_config,
    )
    from pipeline.core.answers.content import content_of, reply_of
    from pipeline.core.answers.retry import RetryPolicy
    from pipeline.core.bookkeeping.ledger import Ledger
    from pipeline.core.bookkeeping.reorder import ReorderWindow
    from pipeline.core.pacing.lane import Lane
    from pipeline.core.pacing.lane_state import LaneState
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.core.pacing.leased import LeasedLane
    from pipeline.core.pacing.permits import Demand, GivenUpError, Reply
    from pipeline.core.rows.ids import MemoryStore
    from pipeline.core.rows.jobs import JobMaker
    from pipeline.core.rows.lines import RawRow
    from pipeline.core.rows.templates import Template
    from pipeline.edges.http import open_senders, senders_over
    from pipeline.edges.http.client.transport import HeadraceTransport
    from pipeline.edges.http.endpoint import ConnectionBounds, Endpoint, Timeouts, TlsOptions
    from pipeline.errors import (
        CacheError,
        ConfigError,
        HeadraceError,
        InputChangedError,
        InputError,
        JournalDamagedError,
        JournalError,
        JournalGoneError,
        OutputChangedError,
        OutputExistsError,
        Problem,
        RunAborted,
        RunChangedError,
        RunInterrupted,
        RunStopped,
        SinkError,
        UsageError,
    )
    from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, PaceChanged, Paused, RunBegan, RunEvent, RunStopping
    from pipeline.inspect.check import CheckReport, check
    from pipeline.inspect.report.writing import ReportFile, report
    from pipeline.inspect.status import Status, status
    from pipeline.inspect.verify import Verification, verify
    from pipeline.library.batch import run_batch
    from pipeline.library.outcomes import Outcomes
    from pipeline.messages import Change, GateMessage, Notice, Report, Ticket
    from pipeline.ports import (
        AskingSender,
        AskLane,
        ClientRequestIds,
        Departure,
        GroupObserver,
        LaneKeeper,
        LightSender,
        LimitLease,
        Observer,
        OpenConsumer,
        OpenSender,
        OpenSource,
        Reuse,
        Sender,
        Source,
        Store,
        StreamConsumer,
    )
    from pipeline.records import Answer, Failure, FailureKind, Fault, FaultCause, Job, Outcome, Success, Transport, Usage
    from pipeline.runs.live import Changed, LiveConfig
    from pipeline.runs.run import run
    from pipeline.runs.stream import stream
    from pipeline.simulate import Dialect as SimulatedDialect
    from pipeline.simulate import Distribution as SimulatedDistribution
    from pipeline.simulate import (
        LatencyConfig,
        SimulateConfig,
        SimulatedChange,
        SimulatedKey,
        SimulatedLimits,
        SimulatedNeighbour,
        SimulatedOutage,
        SimulatedQuota,
        SimulatedStream,
        expected_answer,
    )
    from pipeline.simulate import LimitKind as SimulatedLimitKind
    from pipeline.simulate import RetryAfter as SimulatedRetryAfter
    from pipeline.simulate import Vendor as SimulatedVendor
    from pipeline.simulate.server import serve as serve_simulated
    from pipeline.stages.fetch import FetchSettings, fetch
    from pipeline.stages.flow import FlowSettings, Tallies, run_flow
    from pipeline.stages.gate import gate
    from pipeline.stages.gate_tally import GateTally
    from pipeline.stages.order import Batch, order
    from pipeline.stages.pass_through import PassThrough
    from pipeline.stages.read import ReadTally, read
    from pipeline.stages.record import record
    from pipeline.stages.write import write
    from pipeline.summaries import FailedRow, FailureGroup, Progress, Summary
    from pipeline.testing.observers import ObserverContract
    from pipeline.testing.senders import SenderContract
    from pipeline.testing.sources import SourceContract
    from pipeline.testing.stores import StoreContract
    from pipeline.version import VERSION as __version__  # noqa: N811  the name that every package has

# Written out, because type checkers accept a name as public only if they can read it here.
__all__ = [
    "run",
    "Changed",
    "LiveConfig",
    "run_batch",
    "stream",
    "Outcomes",
    "CheckReport",
    "check",
    "ReportFile",
    "report",
    "Status",
    "status",
    "Verification",
    "verify",
    "AnswersConfig",
    "BudgetConfig",
    "CacheConfig",
    "Config",
    "ConnectionConfig",
    "ExpectConfig",
    "FromEnvironment",
    "JournalConfig",
    "LaneConfig",
    "LimitsConfig",
    "MetricsConfig",
    "PricesConfig",
    "ProviderConfig",
    "RequestConfig",
    "RetryConfig",
    "RoutingConfig",
    "SinkConfig",
    "SourceConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "load_config",
    "LatencyConfig",
    "SimulateConfig",
    "SimulatedLimits",
    "SimulatedLimitKind",
    "SimulatedDialect",
    "SimulatedRetryAfter",
    "SimulatedChange",
    "SimulatedNeighbour",
    "SimulatedKey",
    "SimulatedQuota",
    "SimulatedOutage",
    "SimulatedStream",
    "SimulatedDistribution",
    "SimulatedVendor",
    "expected_answer",
    "serve_simulated",
    "Answer",
    "FailedRow",
    "Failure",
    "FailureGroup",
    "FailureKind",
    "Fault",
    "FaultCause",
    "Job",
    "Outcome",
    "Progress",
    "Success",
    "Summary",
    "Usage",
    "content_of",
    "reply_of",
    "CacheError",
    "ConfigError",
    "HeadraceError",
    "InputChangedError",
    "InputError",
    "JournalDamagedError",
    "JournalError",
    "JournalGoneError",
    "OutputChangedError",
    "OutputExistsError",
    "Problem",
    "RunAborted",
    "RunChangedError",
    "RunInterrupted",
    "RunStopped",
    "SinkError",
    "UsageError",
    "ReadTally",
    "read",
    "GateTally",
    "gate",
    "FetchSettings",
    "fetch",
    "record",
    "Batch",
    "order",
    "write",
    "PassThrough",
    "FlowSettings",
    "Tallies",
    "run_flow",
    "Change",
    "GateMessage",
    "Notice",
    "Report",
    "Ticket",
    "ClientRequestIds",
    "OpenSender",
    "LightSender",
    "AskingSender",
    "Departure",
    "StreamConsumer",
    "OpenConsumer",
    "AttemptRecord",
    "AttemptResult",
    "LaneBack",
    "LaneOut",
    "Observer",
    "GroupObserver",
    "PaceChanged",
    "Paused",
    "RunBegan",
    "RunEvent",
    "RunStopping",
    "Sender",
    "Store",
    "Source",
    "OpenSource",
    "Reuse",
    "LimitLease",
    "LaneKeeper",
    "AskLane",
    "LeasedLane",
    "Demand",
    "Reply",
    "GivenUpError",
    "RawRow",
    "Template",
    "JobMaker",
    "MemoryStore",
    "Lane",
    "LaneState",
    "Lanes",
    "Ledger",
    "ReorderWindow",
    "RetryPolicy",
    "open_senders",
    "senders_over",
    "Transport",
    "ConnectionBounds",
    "Endpoint",
    "Timeouts",
    "TlsOptions",
    "HeadraceTransport",
    "ObserverContract",
    "SenderContract",
    "SourceContract",
    "StoreContract",
    "__version__",
]


def __getattr__(name: str) -> object:
    """A public name, imported from its home when it is first used. `pipeline.aio` is a module."""
    from importlib import import_module  # noqa: PLC0415  see the top

    if name == "aio":
        return import_module("pipeline.aio")
    from pipeline.homes import HOME_OF  # noqa: PLC0415  the table of names, read by a first use of one

    if name not in HOME_OF:
        message = f"module 'pipeline' has no attribute {name!r}"
        raise AttributeError(message)
    home, private = HOME_OF[name]
    value = getattr(import_module(home), private)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""headrace calls LLM HTTP APIs in bulk, fast, and loses nothing.

    summary = trio.run(pipeline.run, pipeline.load_config("configs/quickstart.yaml"))
    results = pipeline.run_batch(prompts, config)
    async for outcome in pipeline.stream(config, rows): ...
    results = await pipeline.aio.run_batch(prompts, config)

Everything public is in `__all__` here; import it from here. The modules below are private and may move.
A name is imported when it is first used, so that the command line starts at once.
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
    from pipeline.messages import GateMessage, Notice, Report, Ticket
    from pipeline.ports import ClientRequestIds, Observer, OpenSender, OpenSource, Sender, Source, Store
    from pipeline.records import Answer, Failure, FailureKind, Fault, FaultCause, Job, Outcome, Success, Usage
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
    from pipeline.testing import ObserverContract, SourceContract
    from pipeline.version import VERSION as __version__  # noqa: N811  the name that every package has

# Where each public name comes from; "serve=serve_simulated" is `serve`, published as `serve_simulated`.
_HOMES = {
    "pipeline.runs.run": "run",
    "pipeline.runs.live": "Changed LiveConfig",
    "pipeline.runs.stream": "stream",
    "pipeline.library.batch": "run_batch",
    "pipeline.library.outcomes": "Outcomes",
    "pipeline.inspect.check": "CheckReport check",
    "pipeline.inspect.report.writing": "ReportFile report",
    "pipeline.inspect.status": "Status status",
    "pipeline.inspect.verify": "Verification verify",
    "pipeline.config": (
        "AnswersConfig BudgetConfig CacheConfig Config ConnectionConfig ExpectConfig FromEnvironment JournalConfig "
        "LaneConfig LimitsConfig MetricsConfig PricesConfig ProviderConfig RequestConfig RetryConfig RoutingConfig SinkConfig "
        "SourceConfig "
        "TimeoutsConfig TlsConfig load_config"
    ),
    "pipeline.simulate": (
        "LatencyConfig SimulateConfig SimulatedChange SimulatedKey SimulatedLimits SimulatedNeighbour SimulatedOutage SimulatedQuota "
        "SimulatedStream expected_answer Dialect=SimulatedDialect Distribution=SimulatedDistribution LimitKind=SimulatedLimitKind "
        "RetryAfter=SimulatedRetryAfter Vendor=SimulatedVendor"
    ),
    "pipeline.simulate.server": "serve=serve_simulated",
    "pipeline.events": "AttemptRecord AttemptResult LaneBack LaneOut PaceChanged Paused RunBegan RunEvent RunStopping",
    "pipeline.records": "Answer Failure FailureKind Fault FaultCause Job Outcome Success Usage",
    "pipeline.summaries": "FailedRow FailureGroup Progress Summary",
    "pipeline.core.answers.content": "content_of reply_of",
    "pipeline.errors": (
        "CacheError ConfigError HeadraceError InputChangedError InputError JournalDamagedError JournalError JournalGoneError "
        "OutputChangedError OutputExistsError "
        "Problem RunAborted RunChangedError RunInterrupted RunStopped SinkError UsageError"
    ),
    "pipeline.stages.read": "ReadTally read",
    "pipeline.stages.gate": "gate",
    "pipeline.stages.gate_tally": "GateTally",
    "pipeline.stages.fetch": "FetchSettings fetch",
    "pipeline.stages.record": "record",
    "pipeline.stages.order": "Batch order",
    "pipeline.stages.write": "write",
    "pipeline.testing": "ObserverContract SourceContract",
    "pipeline.stages.pass_through": "PassThrough",
    "pipeline.stages.flow": "FlowSettings Tallies run_flow",
    "pipeline.messages": "GateMessage Notice Report Ticket",
    "pipeline.ports": "ClientRequestIds Observer OpenSender OpenSource Sender Source Store",
    "pipeline.core.rows.lines": "RawRow",
    "pipeline.core.rows.templates": "Template",
    "pipeline.core.rows.jobs": "JobMaker",
    "pipeline.core.rows.ids": "MemoryStore",
    "pipeline.core.pacing.lane": "Lane",
    "pipeline.core.pacing.lane_state": "LaneState",
    "pipeline.core.pacing.lanes": "Lanes",
    "pipeline.core.bookkeeping.ledger": "Ledger",
    "pipeline.core.bookkeeping.reorder": "ReorderWindow",
    "pipeline.core.answers.retry": "RetryPolicy",
    "pipeline.edges.http": "open_senders senders_over",
    "pipeline.edges.http.endpoint": "ConnectionBounds Endpoint Timeouts TlsOptions",
    "pipeline.edges.http.client.transport": "HeadraceTransport",
    "pipeline.version": "VERSION=__version__",
}
_HOME_OF = {
    public: (home, private)
    for home, names in _HOMES.items()
    for private, public in ((name.split("=")[0], name.split("=")[-1]) for name in names.split())
}

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
    "GateMessage",
    "Notice",
    "Report",
    "Ticket",
    "ClientRequestIds",
    "OpenSender",
    "AttemptRecord",
    "AttemptResult",
    "LaneBack",
    "LaneOut",
    "Observer",
    "PaceChanged",
    "Paused",
    "RunBegan",
    "RunEvent",
    "RunStopping",
    "Sender",
    "Store",
    "Source",
    "OpenSource",
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
    "ConnectionBounds",
    "Endpoint",
    "Timeouts",
    "TlsOptions",
    "HeadraceTransport",
    "ObserverContract",
    "SourceContract",
    "__version__",
]


def __getattr__(name: str) -> object:
    """A public name, imported from its home when it is first used. `pipeline.aio` is a module."""
    from importlib import import_module  # noqa: PLC0415  see the top

    if name == "aio":
        return import_module("pipeline.aio")
    if name not in _HOME_OF:
        message = f"module 'pipeline' has no attribute {name!r}"
        raise AttributeError(message)
    home, private = _HOME_OF[name]
    value = getattr(import_module(home), private)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

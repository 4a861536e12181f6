"""Where each public name of `pipeline` comes from: `pipeline` reads it here when the name is first used.

"serve=serve_simulated" is `serve`, published as `serve_simulated`.
"""

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
        "SourceConfig TimeoutsConfig TlsConfig load_config"
    ),
    "pipeline.simulate": (
        "LatencyConfig SimulateConfig SimulatedChange SimulatedKey SimulatedLimits SimulatedNeighbour SimulatedOutage SimulatedQuota "
        "SimulatedStream expected_answer Dialect=SimulatedDialect Distribution=SimulatedDistribution LimitKind=SimulatedLimitKind "
        "RetryAfter=SimulatedRetryAfter Vendor=SimulatedVendor"
    ),
    "pipeline.simulate.server": "serve=serve_simulated",
    "pipeline.events": "AttemptRecord AttemptResult LaneBack LaneOut PaceChanged Paused RunBegan RunEvent RunStopping",
    "pipeline.records": "Answer Failure FailureKind Fault FaultCause Job Outcome Success Transport Usage",
    "pipeline.summaries": "FailedRow FailureGroup Progress Summary",
    "pipeline.core.answers.content": "content_of reply_of",
    "pipeline.errors": (
        "CacheError ConfigError HeadraceError InputChangedError InputError JournalDamagedError JournalError JournalGoneError "
        "OutputChangedError OutputExistsError Problem RunAborted RunChangedError RunInterrupted RunStopped SinkError UsageError"
    ),
    "pipeline.stages.read": "ReadTally read",
    "pipeline.stages.gate": "gate",
    "pipeline.stages.gate_tally": "GateTally",
    "pipeline.stages.fetch": "FetchSettings fetch",
    "pipeline.stages.record": "record",
    "pipeline.stages.order": "Batch order",
    "pipeline.stages.write": "write",
    "pipeline.testing.observers": "ObserverContract",
    "pipeline.testing.senders": "SenderContract",
    "pipeline.testing.sources": "SourceContract",
    "pipeline.testing.stores": "StoreContract",
    "pipeline.stages.pass_through": "PassThrough",
    "pipeline.stages.flow": "FlowSettings Tallies run_flow",
    "pipeline.messages": "Change GateMessage Notice Report Ticket",
    "pipeline.ports": (
        "AskingSender AskLane ClientRequestIds Departure GroupObserver LaneKeeper LightSender LimitLease Observer OpenConsumer OpenSender "
        "OpenSource Reuse Sender Source Store StreamConsumer"
    ),
    "pipeline.core.rows.lines": "RawRow",
    "pipeline.core.rows.templates": "Template",
    "pipeline.core.rows.jobs": "JobMaker",
    "pipeline.core.rows.ids": "MemoryStore",
    "pipeline.core.pacing.lane": "Lane",
    "pipeline.core.pacing.lane_state": "LaneState",
    "pipeline.core.pacing.lanes": "Lanes",
    "pipeline.core.pacing.leased": "LeasedLane",
    "pipeline.core.pacing.permits": "Demand GivenUpError Reply",
    "pipeline.core.bookkeeping.ledger": "Ledger",
    "pipeline.core.bookkeeping.reorder": "ReorderWindow",
    "pipeline.core.answers.retry": "RetryPolicy",
    "pipeline.edges.http": "open_senders senders_over",
    "pipeline.edges.http.endpoint": "ConnectionBounds Endpoint Timeouts TlsOptions",
    "pipeline.edges.http.client.transport": "HeadraceTransport",
    "pipeline.version": "VERSION=__version__",
}
HOME_OF = {
    public: (home, private)
    for home, names in _HOMES.items()
    for private, public in ((name.split("=")[0], name.split("=")[-1]) for name in names.split())
}

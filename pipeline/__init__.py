"""headrace calls LLM HTTP APIs in bulk, fast, and loses nothing.

    summary = trio.run(pipeline.run, pipeline.load_config("configs/quickstart.yaml"))
    results = pipeline.run_batch(prompts, config)
    async for outcome in pipeline.stream(config, rows): ...

Everything public is here; the names are imported when they are first used, so that the command line starts at once.
No module here may have the name of a public function: importing it would put the module in the function's place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pipeline.version import VERSION

if TYPE_CHECKING:
    from pipeline.config import Config, load_config
    from pipeline.core.answers.content import content_of, reply_of
    from pipeline.errors import (
        ConfigError,
        HeadraceError,
        InputError,
        JournalDamagedError,
        JournalError,
        OutputChangedError,
        OutputExistsError,
        RunAborted,
        RunChangedError,
        RunInterrupted,
        RunStopped,
        SinkError,
        UsageError,
    )
    from pipeline.records import Failure, FailureKind, Job, Outcome, Progress, Success, Summary, Usage
    from pipeline.runs.run import run
    from pipeline.runs.stream import run_batch, stream
    from pipeline.stages.fetch import fetch
    from pipeline.stages.flow import FlowSettings, Tallies, run_flow
    from pipeline.stages.gate import gate
    from pipeline.stages.order import order
    from pipeline.stages.read import read
    from pipeline.stages.record import record
    from pipeline.stages.write import write

_HOMES = {
    "pipeline.config": ["Config", "load_config"],
    "pipeline.core.answers.content": ["content_of", "reply_of"],
    "pipeline.errors": [
        "ConfigError",
        "HeadraceError",
        "InputError",
        "JournalDamagedError",
        "JournalError",
        "OutputChangedError",
        "OutputExistsError",
        "RunAborted",
        "RunChangedError",
        "RunInterrupted",
        "RunStopped",
        "SinkError",
        "UsageError",
    ],
    "pipeline.stages.flow": ["FlowSettings", "Tallies", "run_flow"],
    "pipeline.records": ["Failure", "FailureKind", "Job", "Outcome", "Progress", "Success", "Summary", "Usage"],
    "pipeline.runs.run": ["run"],
    "pipeline.stages.fetch": ["fetch"],
    "pipeline.stages.gate": ["gate"],
    "pipeline.stages.order": ["order"],
    "pipeline.stages.read": ["read"],
    "pipeline.stages.record": ["record"],
    "pipeline.stages.write": ["write"],
    "pipeline.runs.stream": ["run_batch", "stream"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = VERSION
# Written out, because type checkers take a name for public only if they can read it here.
__all__ = [
    "Config",
    "load_config",
    "content_of",
    "reply_of",
    "ConfigError",
    "HeadraceError",
    "InputError",
    "JournalDamagedError",
    "JournalError",
    "OutputChangedError",
    "OutputExistsError",
    "RunAborted",
    "RunChangedError",
    "RunInterrupted",
    "RunStopped",
    "SinkError",
    "UsageError",
    "FlowSettings",
    "Tallies",
    "run_flow",
    "Failure",
    "FailureKind",
    "Job",
    "Outcome",
    "Progress",
    "Success",
    "Summary",
    "Usage",
    "run",
    "fetch",
    "gate",
    "order",
    "read",
    "record",
    "write",
    "run_batch",
    "stream",
    "__version__",
]


def __getattr__(name: str) -> object:
    """A public name, imported from its home at its first use."""
    if name not in _HOME_OF:
        message = f"module 'pipeline' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

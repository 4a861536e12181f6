"""What a run by several processes cannot do, told all at once before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config.lanes import LaneConfig
from pipeline.errors import ConfigError, Problem
from pipeline.runs.lanes import limits_in
from pipeline.runs.names import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.config import Config


def refuse_what_needs_one_process(config: Config) -> None:
    """Raises ConfigError, where the config asks for what only one process can do."""
    problems = [Problem(key, message, "config") for key, message in _found(config)]
    if problems:
        raise ConfigError(problems)


ONLY = "with engine.kind: local alone"


def _found(config: Config) -> Iterator[tuple[str, str]]:
    if config.sink.order.value != "input":
        yield "sink.order", "the parts of several workers are put together in the order of the input; take sink.order: input"
    if config.journal.path is not None:
        yield "journal.path", "each shard has a journal of its own, in engine.ray.run_dir; take it away"
    if config.dedupe:
        yield "dedupe", f"{ONLY}: workers do not know each other's requests"
    if config.cache is not None:
        yield "cache", f"{ONLY}: which of several equal rows gets which answer is counted in one process"
    for name in ("port", "log", "opentelemetry"):
        if getattr(config.metrics, name):
            yield f"metrics.{name}", f"{ONLY}: each worker would open it again"
    yield from _found_in_lanes(config)


def _found_in_lanes(config: Config) -> Iterator[tuple[str, str]]:
    budgets = [("budget", config.budget)]
    for index, provider in enumerate(config.lanes):
        place = place_of(config, index)
        if isinstance(provider, LaneConfig):
            budgets.append((f"{place}.budget", provider.budget))
        if provider.simulate is not None:
            yield f"{place}.simulate", "each worker would embed its own; start one with `headrace simulate` and name its base_url"
        if limits_in(config, provider).shared is not None:
            yield "limits.shared", f"{ONLY}: the workers share the limits of the run among themselves"
    for setting, budget in budgets:
        if budget.seconds is not None:
            yield f"{setting}.seconds", f"{ONLY}: shards run one after the other and at the same time"

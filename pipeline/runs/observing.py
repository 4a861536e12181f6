"""Opens the observers that a config asks for: the history for the report, Prometheus, OpenTelemetry and the log of attempts."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pipeline.edges.telemetry.kept import KeptHistory
from pipeline.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.config import Config, MetricsConfig
    from pipeline.durability.store import DurableStore
    from pipeline.ports import Observer


@contextmanager
def observing(metrics: MetricsConfig, observers: Sequence[Observer]) -> Iterator[Sequence[Observer]]:
    """The observers given, and those that `metrics` asks for, which are closed with the block.

    Raises: ConfigError, where a package is missing; UsageError, where a port or a file cannot be opened.
    """
    with ExitStack() as opened:
        yield (*observers, *_opened(metrics, opened))


def with_history(config: Config, durable: DurableStore, observers: Sequence[Observer]) -> Sequence[Observer]:
    """The observers, and one that keeps what the run's report is made of."""
    if not config.journal.history:
        return observers
    kept = KeptHistory()
    durable.figures.history = kept.stored
    return (*observers, kept)


def _opened(metrics: MetricsConfig, opened: ExitStack) -> Iterator[Observer]:
    try:
        if metrics.port is not None:
            from pipeline.edges.telemetry.prometheus import serving  # noqa: PLC0415  few runs are scraped

            yield opened.enter_context(serving(metrics.host, metrics.port))
        if metrics.opentelemetry:
            from pipeline.edges.telemetry.otel import OpenTelemetry  # noqa: PLC0415  few runs are exported

            yield OpenTelemetry()
        if metrics.log is not None:
            from pipeline.edges.telemetry.jsonlog import JsonLog  # noqa: PLC0415  few runs are logged

            yield opened.enter_context(JsonLog.open(metrics.log))
    except ModuleNotFoundError as error:
        extra = "metrics" if error.name == "prometheus_client" else "otel"
        message = f"needs a package that is not installed: pip install 'headrace[{extra}]'"
        key = "metrics.port" if extra == "metrics" else "metrics.opentelemetry"
        raise ConfigError([Problem(key, message, "config")]) from None
    except OSError as error:
        raise UsageError(f"metrics: {error.filename or f'port {metrics.port}'}: {error.strerror or error}") from error

"""The metrics of OpenTelemetry's conventions for generative AI, recorded by whatever SDK the process has set up.

Source: OpenTelemetry semantic conventions, "Generative AI metrics" (gen_ai.client.operation.duration, gen_ai.client.token.usage).
The SDK takes some microseconds for each value, so this is dearer than the other observers; it is off unless somebody asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import metrics

from pipeline.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.metrics import MeterProvider

    from pipeline.events import AttemptRecord, RunEvent


class OpenTelemetry:
    """An observer. provider: None is the one of the process."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        meter = (provider or metrics.get_meter_provider()).get_meter("headrace", VERSION)
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "GenAI operation duration.")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.")
        self._first = meter.create_histogram("gen_ai.server.time_to_first_token", "s", "Time to the first token of a stream.")
        self._known: dict[tuple[str, str], dict[str, str]] = {}

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Record attempts that ended."""
        for record in records:
            attributes = self._attributes(record.lane, record.code)
            self._duration.record(record.ended - record.left, attributes)
            if record.first_token is not None:
                self._first.record(record.first_token - record.left, attributes)
            for kind, tokens in (("input", record.prompt_tokens), ("output", record.output_tokens)):
                if tokens:
                    self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})

    def events(self, events: Sequence[RunEvent]) -> None:
        """The conventions have no words for them."""

    def _attributes(self, lane: str, code: str) -> dict[str, str]:
        found = self._known.get((lane, code))
        if found is None:
            found = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": lane or "openai"}
            if code:
                found["error.type"] = code
            self._known[lane, code] = found
        return found

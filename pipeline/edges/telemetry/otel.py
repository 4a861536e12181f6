"""The metrics and spans of OpenTelemetry's conventions for generative AI, recorded by whatever SDK the process has set up.

Source: OpenTelemetry semantic conventions, "Generative AI metrics" (gen_ai.client.operation.duration, gen_ai.client.token.usage) and
"Generative client AI spans". The SDK takes some microseconds for each value and more for a span, so this is dearer than the other
observers; it is off unless somebody asks for it. Without a sampler or exporter for traces a span is not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from pipeline.events import RunBegan
from pipeline.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from pipeline.events import AttemptRecord, RunEvent


class OpenTelemetry:
    """An observer. provider, tracing: None is the one of the process."""

    def __init__(self, provider: MeterProvider | None = None, tracing: TracerProvider | None = None) -> None:
        meter = (provider or metrics.get_meter_provider()).get_meter("headrace", VERSION)
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "GenAI operation duration.")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.")
        self._first = meter.create_histogram("gen_ai.server.time_to_first_token", "s", "Time to the first token of a stream.")
        self._tracer = (tracing or trace.get_tracer_provider()).get_tracer("headrace", VERSION)
        self._epoch = 0.0  # the time of the day at 0 of the run's clock
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
            self._trace(record, attributes)

    def events(self, events: Sequence[RunEvent]) -> None:
        """Note when the run began; the conventions have no words for the others."""
        for event in events:
            if isinstance(event, RunBegan):
                self._epoch = event.utc - event.at

    def _trace(self, record: AttemptRecord, attributes: dict[str, str]) -> None:
        span = self._tracer.start_span("chat", kind=SpanKind.CLIENT, attributes=attributes, start_time=self._nanoseconds(record.left))
        if span.is_recording():
            span.set_attribute("headrace.custom_id", record.custom_id)
            span.set_attribute("headrace.attempt", record.attempt)
            if record.prompt_tokens or record.output_tokens:
                span.set_attribute("gen_ai.usage.input_tokens", record.prompt_tokens)
                span.set_attribute("gen_ai.usage.output_tokens", record.output_tokens)
            if record.status is not None:
                span.set_attribute("http.response.status_code", record.status)
            if record.code:
                span.set_status(Status(StatusCode.ERROR, record.message))
        span.end(self._nanoseconds(record.ended))

    def _nanoseconds(self, clock: float) -> int:
        return int((self._epoch + clock) * 1e9)

    def _attributes(self, lane: str, code: str) -> dict[str, str]:
        found = self._known.get((lane, code))
        if found is None:
            found = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": lane or "openai"}
            if code:
                found["error.type"] = code
            self._known[lane, code] = found
        return found

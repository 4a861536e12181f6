"""Prometheus, OpenTelemetry and the log of attempts: each figure is what the attempts say, and a run serves them while it lasts."""

from __future__ import annotations

import json
import socket
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

import pipeline
from pipeline.edges.telemetry.jsonlog import JsonLog
from pipeline.edges.telemetry.otel import OpenTelemetry
from pipeline.edges.telemetry.prometheus import PrometheusFigures
from pipeline.events import AttemptRecord, AttemptResult, LaneOut, PaceChanged, RunBegan
from tests.fakes.runs import write_config
from tests.unit.test_observer_contract import ObserverLaws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = {"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}
DONE = AttemptResult.ANSWERED
ATTEMPTS = [
    AttemptRecord(0, "a", 1, "eu", 0, "", 0.0, 1.0, 1.0, 1.2, 3.0, DONE, 200, prompt_tokens=10, output_tokens=5, cost=0.5),
    AttemptRecord(1, "b", 1, "eu", 1, "", 0.0, 1.0, 1.0, None, 1.1, AttemptResult.RETRIED, 429, "http_429", "slow down"),
    AttemptRecord(1, "b", 2, "eu", 2, "", 0.0, 2.0, 2.0, None, 2.1, AttemptResult.FAILED, 400, "http_400", "no"),
]  # fmt: skip


class TestPrometheusFigures(ObserverLaws):
    @pytest.fixture
    def observer(self) -> PrometheusFigures:
        return PrometheusFigures()


class TestOpenTelemetry(ObserverLaws):
    @pytest.fixture
    def observer(self) -> OpenTelemetry:
        return OpenTelemetry()


class TestJsonLog(ObserverLaws):
    @pytest.fixture
    def observer(self, tmp_path: Path) -> Iterator[JsonLog]:
        with JsonLog.open(str(tmp_path / "log.jsonl")) as log:
            yield log


def test_prometheus_gets_what_the_attempts_say() -> None:
    figures, registry = PrometheusFigures(), CollectorRegistry()
    registry.register(figures)

    figures.attempts(ATTEMPTS)
    figures.events([PaceChanged(1.0, 12.5, "found", "eu"), LaneOut(2.0, "refused", None, "us")])

    text = generate_latest(registry).decode()
    assert 'headrace_attempts_total{code="http_429",lane="eu",result="retried"} 1.0' in text
    assert 'headrace_tokens_total{kind="input",lane="eu"} 10.0' in text
    assert 'headrace_cost_total{lane="eu"} 0.5' in text
    assert 'headrace_attempt_seconds_bucket{lane="eu",le="0.25"} 2.0' in text
    assert 'headrace_attempt_seconds_count{lane="eu"} 3.0' in text
    assert 'headrace_first_token_seconds_bucket{lane="eu",le="0.25"} 1.0' in text
    assert 'headrace_pace_requests_per_second{lane="eu"} 12.5' in text
    assert 'headrace_lane_up{lane="us"} 0.0' in text


def test_opentelemetry_gets_the_metrics_of_the_genai_conventions() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])

    OpenTelemetry(provider).attempts(ATTEMPTS)

    collected = reader.get_metrics_data()
    assert collected is not None
    data = json.loads(collected.to_json())
    found = {each["name"]: each["data"]["data_points"] for each in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]}
    provider.shutdown()
    assert {point["attributes"].get("error.type"): point["count"] for point in found["gen_ai.client.operation.duration"]} == {
        None: 1, "http_429": 1, "http_400": 1,
    }  # fmt: skip
    assert {point["attributes"]["gen_ai.token.type"]: point["sum"] for point in found["gen_ai.client.token.usage"]} == {
        "input": 10,
        "output": 5,
    }


def test_opentelemetry_gets_a_span_for_each_attempt_at_the_time_of_the_day() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    observer = OpenTelemetry(tracing=provider)

    observer.events([RunBegan(0.5, 1_700_000_000.0)])
    observer.attempts(ATTEMPTS)

    first, second, _ = exporter.get_finished_spans()
    assert (first.start_time, first.end_time) == (1_700_000_000_500_000_000, 1_700_000_002_500_000_000)
    assert first.attributes is not None
    assert second.attributes is not None
    assert first.attributes["gen_ai.usage.output_tokens"] == 5
    assert first.attributes["headrace.custom_id"] == "a"
    assert second.attributes["error.type"] == "http_429"
    assert (second.status.is_ok, second.status.description) == (False, "slow down")


def test_the_log_has_a_line_for_each_attempt_and_event(tmp_path: Path) -> None:
    with JsonLog.open(str(tmp_path / "log.jsonl")) as log:
        log.events([RunBegan(0.0, 1_700_000_000.0)])
        log.attempts(ATTEMPTS)

    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["run_began", "attempt", "attempt", "attempt"]
    assert (lines[2]["custom_id"], lines[2]["code"], lines[2]["result"]) == ("b", "http_429", "retried")


def config_of(folder: Path, **metrics: object) -> Any:
    (folder / "in.jsonl").write_text('{"prompt": "a"}\n' * 3)
    request = {"url": "/v1/chat/completions", "body": BODY}
    return pipeline.load_config(
        write_config(folder, "http://x", request=request, metrics=metrics), ["provider={simulate: {latency: {median_seconds: 0.05}}}"]
    )


def page_at(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        page: str = answer.read().decode()
    return page


async def test_a_run_serves_its_figures_while_it_lasts_and_logs_its_attempts(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scraped: list[str] = []

    def scrape(progress: pipeline.Progress) -> None:
        if progress.rows_done == 3:
            scraped.append(page_at(port))

    await pipeline.run(config_of(tmp_path, port=port, log="log.jsonl", opentelemetry=True), progress=scrape)

    assert 'result="answered"} 3.0' in scraped[-1]
    assert sum('"attempt"' in line for line in (tmp_path / "log.jsonl").read_text().splitlines()) >= 3
    with pytest.raises(OSError, match="refused"):
        scraped.append(await trio.to_thread.run_sync(page_at, port))


async def test_a_port_that_is_taken_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = config_of(tmp_path, port=taken.getsockname()[1])

        with pytest.raises(pipeline.UsageError, match="metrics: port"):
            await pipeline.run(config)


async def test_a_log_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(pipeline.UsageError, match="no/such/folder"):
        await pipeline.run(config_of(tmp_path, log="no/such/folder/log.jsonl"))

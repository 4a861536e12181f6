"""The article's workload, on real sockets: a hundred prompts, one timeout, one lone 401, 429s and resets in between.

Its program got 97 answers and could not say which three were missing. Here every prompt has a row, in its place, with its own
answer or its own error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.config import LimitsConfig, ProviderConfig, RequestConfig, RetryConfig, SinkConfig, SourceConfig, TimeoutsConfig
from pipeline.simulate import Distribution, LatencyConfig, SimulateConfig, expected_answer
from tests.fakes.simulated import simulated

PROMPTS = [f"Question {number}: what is {number} times {number}?" for number in range(100)]
LATENCY = LatencyConfig(distribution=Distribution.LOGNORMAL, median_seconds=0.02, spread=1.0)
TROUBLE = {
    "17": "stall",
    "42": "unauthorized_401",
    **dict.fromkeys(["5", "29", "30", "31", "54", "88"], "http_429"),
    "64": "http_429*2",
    **dict.fromkeys(["3", "63", "99"], "reset_before"),
    **dict.fromkeys(["12", "71"], "reset_in_body"),
}
LOST_CAUSES = {"0": "http_400*", "50": "stall*", "77": "unauthorized_401*", "98": "http_500*"}


def body_of(prompt: str) -> dict[str, Any]:
    return {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": prompt}]}


def config_for(folder: Path, base_url: str) -> pipeline.Config:
    source = folder / "prompts.jsonl"
    source.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS), encoding="utf-8")
    return pipeline.Config(
        source=SourceConfig(path=str(source)),
        request=RequestConfig(url="/v1/chat/completions", body=body_of("{prompt}")),
        provider=ProviderConfig(base_url=base_url),
        limits=LimitsConfig(requests_per_second=400, max_in_flight=50),
        timeouts=TimeoutsConfig(connect_seconds=5, idle_seconds=1, total_seconds=5),
        retry=RetryConfig(attempts=3, base_seconds=0.05, cap_seconds=0.2),
        sink=SinkConfig(path=str(folder / "results.jsonl")),
    )


def lines_of(config: pipeline.Config) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(config.sink.path).read_text(encoding="utf-8").splitlines()]


def content(line: dict[str, Any]) -> object:
    return line["response"]["body"]["choices"][0]["message"]["content"]


async def test_article_workload_gives_every_prompt_its_own_answer_in_order(tmp_path: Path) -> None:
    async with simulated(SimulateConfig(latency=LATENCY, script=TROUBLE)) as server:
        config = config_for(tmp_path, server.base_url)

        summary = await pipeline.run(config)

        seen = server.provider.statistics()
    assert [content(line) for line in lines_of(config)] == [expected_answer(body_of(prompt)) for prompt in PROMPTS]
    assert [line["custom_id"] for line in lines_of(config)] == [f"row-{index}" for index in range(100)]
    assert (summary.total, summary.succeeded, summary.failed) == (100, 100, 0)
    assert seen.requests == summary.attempts == 100 + len(TROUBLE) + 1
    assert seen.max_concurrent <= 50


async def test_article_workload_gives_a_lost_cause_its_own_error_in_its_place(tmp_path: Path) -> None:
    async with simulated(SimulateConfig(latency=LATENCY, script=TROUBLE | LOST_CAUSES)) as server:
        config = config_for(tmp_path, server.base_url)

        summary = await pipeline.run(config)

        sent = [request["digest"] for request in server.provider.tally.ledger if request["status"] == 400]
    lines = lines_of(config)
    assert [line["custom_id"] for line in lines] == [f"row-{index}" for index in range(100)]
    assert (summary.succeeded, summary.failed) == (96, 4)
    assert len(sent) == 1
    assert lines[0]["response"]["status_code"] == 400
    assert lines[50]["error"]["code"] == "timeout"
    assert lines[77]["response"]["body"]["error"]["code"] == "invalid_api_key"
    assert lines[98]["error"]["code"] == "retries_exhausted"
    for index in set(range(100)) - {0, 50, 77, 98}:
        assert content(lines[index]) == expected_answer(body_of(PROMPTS[index]))


def test_run_batch_gives_a_list_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    embedded = ProviderConfig(simulate=SimulateConfig(latency=LATENCY, script=TROUBLE))
    template = config_for(tmp_path, "http://unused.test/v1")
    config = pipeline.Config(
        source=template.source,
        request=template.request,
        provider=embedded,
        timeouts=template.timeouts,
        retry=template.retry,
        sink=template.sink,
    )

    outcomes = pipeline.run_batch(PROMPTS, config)

    assert [outcome.index for outcome in outcomes] == list(range(100))
    assert [pipeline.content_of(outcome) for outcome in outcomes] == [expected_answer(body_of(prompt)) for prompt in PROMPTS]


async def test_a_key_that_is_always_refused_stops_the_run_after_no_more_than_was_in_flight(tmp_path: Path) -> None:
    async with simulated(SimulateConfig(latency=LATENCY, api_key="another")) as server:
        config = config_for(tmp_path, server.base_url)

        with pytest.raises(pipeline.RunAborted, match="Incorrect API key"):
            await pipeline.run(config)

        assert server.provider.statistics().requests <= config.limits.max_in_flight
    assert lines_of(config) == []

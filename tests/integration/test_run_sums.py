"""What a run counts of its answers goes on over a resume, as if the run had never ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

import pipeline
from pipeline import AnswersConfig, Config, ExpectConfig, PricesConfig, ProviderConfig, RequestConfig, SinkConfig, SourceConfig, Summary
from pipeline.config.lanes import PriceSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 12


def config_of(folder: Path, **more: Any) -> Config:
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {row}"}) + "\n" for row in range(ROWS)))
    return Config(
        source=SourceConfig(path=str(folder / "in.jsonl")),
        request=RequestConfig(url="/v1/chat/completions", body={"model": "m", "prompt": "{prompt}"}),
        provider=ProviderConfig(base_url="http://provider.invalid/v1"),
        sink=SinkConfig(path=str(folder / "out.jsonl")),
        **more,
    )


def reply(content: str = "a", reason: str = "stop", model: str = "m") -> httpx.Response:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 500}}
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": content}}
    return httpx.Response(200, json={"model": model, "choices": [choice], "usage": usage})


def in_parts(config: Config, answer: Callable[[int], httpx.Response], limits: list[int | None]) -> Summary:
    calls = 0

    def handle(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return answer(calls)

    async def main() -> Summary:
        summary = Summary()
        for limit in limits:
            summary = await pipeline.run(config, limit=limit, transport=httpx.MockTransport(handle))
        return summary

    return trio.run(main)


@pytest.mark.parametrize("limits", [[None], [5, None], [3, 7, None]])
def test_reasons_to_end_and_rejected_answers_are_counted_over_all_parts_of_a_run(tmp_path: Path, limits: list[int | None]) -> None:
    config = config_of(tmp_path, answers=AnswersConfig(expect=ExpectConfig(regex="^a"), asks=3))

    summary = in_parts(config, lambda call: reply("b" if call % 4 == 0 else "a"), limits)

    assert summary.succeeded == ROWS
    assert summary.finish_reasons == {"stop": ROWS}
    assert summary.rejected == 3
    assert summary.prompt_tokens == 1000 * (ROWS + 3)


@pytest.mark.parametrize("limits", [[None], [5, None], [3, 7, None]])
def test_the_cost_is_the_sum_over_all_answers_of_all_parts_of_a_run(tmp_path: Path, limits: list[int | None]) -> None:
    prices = PricesConfig(prompt_per_million=2.0, cached_per_million=0.2, output_per_million=10.0)

    summary = in_parts(config_of(tmp_path, prices=prices), lambda _: reply(), limits)

    assert summary.cost == pytest.approx(ROWS * (500 * 2.0 + 500 * 0.2 + 100 * 10.0) / 1e6)


@pytest.mark.parametrize("limits", [[None], [5, None]])
def test_a_model_without_a_price_makes_the_cost_unknown_in_later_parts_as_well(tmp_path: Path, limits: list[int | None]) -> None:
    prices = PricesConfig(table=PriceSource.BUILTIN)

    summary = in_parts(config_of(tmp_path, prices=prices), lambda call: reply(model="own-model" if call == 1 else "gpt-4o-mini"), limits)

    assert summary.cost is None
    assert summary.unpriced == ("own-model",)


def test_times_are_those_of_the_last_part(tmp_path: Path) -> None:
    summary = in_parts(config_of(tmp_path), lambda _: reply(), [5, None])

    assert summary.latency_seconds.keys() == {"p50", "p95", "p99"}
    assert summary.first_token_seconds == summary.longest_gap_seconds == summary.tokens_per_second == {}

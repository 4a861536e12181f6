"""Cache and dedupe in a whole run: what is sent, what it costs, and what a resumed run does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import httpx
import pytest
import trio

import pipeline
from pipeline import CacheConfig, Config, LimitsConfig, ProviderConfig, RequestConfig, SinkConfig, SourceConfig, UsageError, content_of

WORDS = ["a", "b", "a", "c", "a", "b"]


class Shop:
    """A provider that counts what it sold, and gives no two answers that are the same."""

    def __init__(self) -> None:
        self.sold: Counter[str] = Counter()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["messages"][0]["content"]
        self.sold[prompt] += 1
        answer = f"{prompt} {self.sold[prompt]}"
        usage = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}
        return httpx.Response(200, json={"object": "chat.completion", "choices": [choice], "usage": usage})


def config_of(folder: Path, words: list[str], *, output: str = "out.jsonl", dedupe: bool = False, cache: str | None = None) -> Config:
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": word}) + "\n" for word in words))
    return Config(
        source=SourceConfig(path=str(folder / "in.jsonl")),
        request=RequestConfig(url="/v1/chat/completions", body={"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}),
        provider=ProviderConfig(base_url="http://provider.invalid/v1"),
        limits=LimitsConfig(max_in_flight=2),
        sink=SinkConfig(path=str(folder / output)),
        dedupe=dedupe,
        cache=None if cache is None else CacheConfig(path=str(folder / cache)),
    )


def go(config: Config, shop: Shop, limit: int | None = None) -> pipeline.Summary:
    async def main() -> pipeline.Summary:
        return await pipeline.run(config, transport=httpx.MockTransport(shop), limit=limit)

    return trio.run(main)


def contents(config: Config) -> list[str]:
    with Path(config.sink.path).open(encoding="utf-8") as lines:
        return [json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] for line in lines]


def test_a_second_run_with_the_cache_sends_nothing(tmp_path: Path) -> None:
    shop = Shop()
    first = config_of(tmp_path, WORDS, cache="cache")
    bought = go(first, shop)
    again = config_of(tmp_path, WORDS, output="again.jsonl", cache="cache")

    summary = go(again, shop)

    assert sum(shop.sold.values()) == len(WORDS)
    assert (bought.from_cache, bought.prompt_tokens) == (0, 60)
    assert (summary.from_cache, summary.succeeded, summary.attempts, summary.prompt_tokens) == (6, 6, 0, 0)
    assert summary.finish_reasons == bought.finish_reasons
    assert contents(again) == contents(first)
    assert len(set(contents(first))) == len(WORDS)


def test_a_stopped_run_with_the_cache_goes_on_with_the_right_samples(tmp_path: Path) -> None:
    shop = Shop()
    first = config_of(tmp_path, WORDS, cache="cache")
    go(first, shop)
    again = config_of(tmp_path, WORDS, output="again.jsonl", cache="cache")
    go(again, shop, limit=3)

    go(again, shop)

    assert contents(again) == contents(first)
    assert sum(shop.sold.values()) == len(WORDS)


def test_dedupe_sends_equal_rows_once_also_over_a_stop(tmp_path: Path) -> None:
    shop = Shop()
    config = config_of(tmp_path, WORDS, dedupe=True)
    go(config, shop, limit=2)

    summary = go(config, shop)

    assert shop.sold == {"a": 1, "b": 1, "c": 1}
    assert contents(config) == ["a 1", "b 1", "a 1", "c 1", "a 1", "b 1"]
    assert summary.from_cache == 3
    assert not list(tmp_path.glob("*.answers*"))


def test_dedupe_works_for_rows_from_python(tmp_path: Path) -> None:
    shop = Shop()

    outcomes = pipeline.run_batch(WORDS, config_of(tmp_path, [], dedupe=True), transport=httpx.MockTransport(shop))

    assert [content_of(outcome) for outcome in outcomes] == ["a 1", "b 1", "a 1", "c 1", "a 1", "b 1"]
    assert sum(shop.sold.values()) == 3


def test_a_cache_that_cannot_be_used_is_a_wrong_config(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    shop = Shop()

    with pytest.raises(UsageError, match="cannot use the cache of answers"):
        go(config_of(tmp_path, WORDS, cache="cache"), shop)

    assert not shop.sold
    assert not (tmp_path / "out.jsonl").exists()

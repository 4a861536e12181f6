"""Rows from Python in, outcomes to Python out, over httpx's mock transport: no network."""

from __future__ import annotations

import gc
import json
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
import trio.testing

from pipeline import ConfigError, Failure, RunAborted, Success, content_of, reply_of, run_batch, stream
from pipeline.config import load_config_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline import Config

TEXT = """
source: {path: unused.jsonl}
request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}
provider: {base_url: "http://provider.invalid/v1"}
retry: {base_seconds: 0.001}
limits: {max_in_flight: 4, window: 8}
sink: {path: unused.out}
"""


@pytest.fixture
def config() -> Config:
    return load_config_text(TEXT, "test.yaml")


def echo(request: httpx.Request) -> httpx.Response:
    prompt = json.loads(request.content)["messages"][0]["content"]
    return httpx.Response(200, json={"choices": [{"message": {"content": f"echo {prompt}"}}]})


def test_a_list_goes_in_and_a_list_in_the_same_order_comes_out(config: Config) -> None:
    outcomes = run_batch([f"p{n}" for n in range(50)], config, transport=httpx.MockTransport(echo))

    assert [content_of(outcome) for outcome in outcomes] == [f"echo p{n}" for n in range(50)]


def test_a_row_that_is_no_request_has_its_place(config: Config) -> None:
    rows: list[str | dict[str, object]] = ["a", {"other": 1}, {"prompt": object()}, {"prompt": "d", "custom_id": "mine"}]

    first, second, third, fourth = run_batch(rows, config, transport=httpx.MockTransport(echo))

    assert isinstance(first, Success)
    assert isinstance(second, Failure)
    assert isinstance(third, Failure)
    assert fourth.custom_id == "mine"
    assert content_of(second) is None
    assert reply_of(third) is None


def test_nothing_in_gives_nothing_out(config: Config) -> None:
    assert run_batch([], config, transport=httpx.MockTransport(echo)) == []


@pytest.mark.parametrize("one", ["a prompt", {"prompt": "a prompt"}])
def test_one_row_is_not_taken_for_many(config: Config, one: str | dict[str, str]) -> None:
    with pytest.raises(TypeError, match="put it into a list"):
        run_batch(one, config, transport=httpx.MockTransport(echo))


def test_an_aborted_batch_says_why_and_keeps_what_came_before(config: Config) -> None:
    def refuse_later(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": "key revoked"}}) if b"bad" in request.content else echo(request)

    with pytest.raises(RunAborted, match="key revoked") as caught:
        run_batch(["a", "b", *["bad"] * 20], config, transport=httpx.MockTransport(refuse_later))

    assert [content_of(outcome) for outcome in caught.value.outcomes] == ["echo a", "echo b"]
    assert caught.value.summary is not None


def test_a_missing_key_is_told_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    config = load_config_text(TEXT, "test.yaml", ["provider.api_key_env=NO_SUCH_KEY"])

    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        run_batch(["a"], config)


async def test_a_reader_that_stops_reading_stops_the_sending(config: Config) -> None:
    sent = 0

    def count(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        return echo(request)

    async with stream(config, endless(), transport=httpx.MockTransport(count)) as outcomes:
        for _ in range(3):
            await outcomes.__anext__()
        await trio.testing.wait_all_tasks_blocked(0.05)

        assert 3 <= sent <= 3 + 8 + 1, sent


@pytest.mark.parametrize("way", ["break", "cancel", "drop"])
async def test_a_loop_that_is_left_early_leaves_no_task_behind(config: Config, way: str) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    with trio.CancelScope() as scope:
        async for outcome in stream(config, endless(), transport=httpx.MockTransport(echo)):
            if outcome.index == 5:
                if way == "cancel":
                    scope.cancel()
                    continue
                break
    gc.collect()
    with trio.fail_after(5):
        while trio.lowlevel.current_statistics().tasks_living > before:
            await trio.testing.wait_all_tasks_blocked()


def endless() -> Iterator[str]:
    number = 0
    while True:
        yield f"p{number}"
        number += 1

"""Rows from Python in, outcomes to Python out, over httpx's mock transport: no network."""

from __future__ import annotations

import datetime as dt
import gc
import json
from typing import TYPE_CHECKING, Any

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


def breaking(error: BaseException, after: int = 20) -> Iterator[str]:
    for number in range(after):
        yield f"p{number}"
    raise error


def test_what_the_rows_raise_comes_out_as_it_is_with_the_outcomes_before_it(config: Config) -> None:
    mine = RuntimeError("my iterator broke")

    with pytest.raises(RuntimeError) as caught:
        run_batch(breaking(mine), config, transport=httpx.MockTransport(echo))

    assert caught.value is mine
    assert [content_of(outcome) for outcome in mine.outcomes] == [f"echo p{n}" for n in range(20)]  # type: ignore[attr-defined]


async def test_a_stream_gives_every_outcome_before_it_raises_what_the_rows_raised(config: Config) -> None:
    found = []

    async def read() -> None:
        async for outcome in stream(config, breaking(KeyError("mine"), after=5), transport=httpx.MockTransport(echo)):
            found.append(content_of(outcome))  # noqa: PERF401  what came before the error counts

    with pytest.raises(KeyError, match="mine"):
        await read()

    assert found == [f"echo p{n}" for n in range(5)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["progress", "sending", "observer"])
def test_an_interrupt_in_any_task_of_the_flow_is_one_to_the_caller(config: Config, where: str, error: type[BaseException]) -> None:
    def interrupt(*_: object) -> None:
        raise error

    def answer(request: httpx.Request) -> httpx.Response:
        if where == "sending":
            interrupt()
        return echo(request)

    class Interrupted:
        attempts = staticmethod(interrupt)
        events = staticmethod(lambda _: None)

    with pytest.raises(error):
        run_batch(
            ["a", "b"],
            config,
            transport=httpx.MockTransport(answer),
            progress=interrupt if where == "progress" else None,
            observers=[Interrupted()] if where == "observer" else [],
        )


def test_an_exception_without_room_for_outcomes_comes_out_too(config: Config) -> None:
    class Slim(Exception):  # noqa: N818
        __slots__ = ()

        def __setattr__(self, name: str, value: object) -> None:
            if name == "outcomes":
                raise AttributeError(name)
            super().__setattr__(name, value)

    with pytest.raises(Slim):
        run_batch(breaking(Slim()), config, transport=httpx.MockTransport(echo))


@pytest.mark.parametrize(
    "value, said",
    [
        (b"secret", "field 'prompt' holds bytes; decode it to text first"),
        (bytearray(b"secret"), "field 'prompt' holds bytearray; decode it to text first"),
        (memoryview(b"secret"), "field 'prompt' holds memoryview; decode it to text first"),
        ({3, 1}, "field 'prompt' holds a set, which has no order; make it a list"),
        (float("nan"), "field 'prompt' holds nan, which JSON cannot write; use None or a number"),
        (float("-inf"), "field 'prompt' holds -inf, which JSON cannot write; use None or a number"),
        ([{"a": (1, b"x")}], "field 'prompt[0].a[1]' holds bytes; decode it to text first"),
    ],
)
def test_what_json_cannot_say_is_a_bad_row_in_words_and_is_not_sent(config: Config, value: object, said: str) -> None:
    sent: list[bytes] = []

    def count(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return echo(request)

    bad, good = run_batch([{"prompt": value}, "fine"], config, transport=httpx.MockTransport(count))

    assert isinstance(bad, Failure)
    assert bad.kind.value == "invalid_row"
    assert said in bad.message
    assert content_of(good) == "echo fine"
    assert len(sent) == 1


@pytest.mark.parametrize("row", [b"a prompt", 5, None, ["a"]])
def test_a_row_that_is_neither_text_nor_a_mapping_is_a_bad_row(config: Config, row: Any) -> None:
    (outcome,) = run_batch([row], config, transport=httpx.MockTransport(echo))

    assert isinstance(outcome, Failure)
    assert f"must be text or a mapping, got {type(row).__name__}" in outcome.message


def test_dates_and_tuples_are_sent_as_json_says_them(config: Config) -> None:
    rows: list[dict[str, object]] = [{"prompt": dt.date(2026, 1, 2)}, {"prompt": "{x}", "unused": (1, [2], {"a": None})}]

    assert [content_of(outcome) for outcome in run_batch(rows, config, transport=httpx.MockTransport(echo))] == [
        "echo 2026-01-02",
        "echo {x}",
    ]


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

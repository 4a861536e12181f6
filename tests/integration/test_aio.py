"""`pipeline.aio`: the same results as under trio, cancelled both ways, and neither loop stands still."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import pipeline
from pipeline import aio
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from pipeline import Config

SECTIONS: dict[str, Any] = {
    "request": {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}}
}


async def echo(request: httpx.Request) -> httpx.Response:
    content = json.loads(request.content)["messages"][0]["content"]
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_config(tmp_path, "http://provider.test", **SECTIONS)


@pytest.fixture
def config(path: Path) -> Config:
    return pipeline.load_config(path)


def prompts(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def assert_no_thread_is_left() -> None:
    """A thread that has given its result ends at once."""
    threads = [thread for thread in threading.enumerate() if thread.name == "headrace-trio"]
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_run_batch_gives_the_outcomes_in_order(config: Config) -> None:
    outcomes = asyncio.run(aio.run_batch(prompts(200), config, transport=httpx.MockTransport(echo)))

    assert outcomes.contents == prompts(200)
    assert_no_thread_is_left()


def test_a_path_stands_for_its_config(path: Path) -> None:
    assert asyncio.run(aio.run_batch(["a"], str(path), transport=httpx.MockTransport(echo))).contents == ["a"]


def test_a_stream_takes_an_async_iterator_of_the_loop_and_gives_outcomes_as_they_come(config: Config) -> None:
    async def main() -> tuple[list[Any], set[int]]:
        where: set[int] = set()

        async def rows() -> AsyncIterator[str]:
            for prompt in prompts(300):
                where.add(threading.get_ident())
                await asyncio.sleep(0)
                yield prompt

        async with aio.stream(config, rows(), transport=httpx.MockTransport(echo)) as outcomes:
            return [outcome.content async for outcome in outcomes], where

    contents, where = asyncio.run(main())

    assert contents == prompts(300)
    assert where == {threading.get_ident()}


def test_a_reader_that_is_slow_holds_the_rows_back(config: Config) -> None:
    taken = 0

    def rows() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "p"

    async def main() -> None:
        async with aio.stream(config, rows(), transport=httpx.MockTransport(echo)) as outcomes:
            async for outcome in outcomes:
                if outcome.index == 50:
                    break

    asyncio.run(main())

    assert taken < 5_000
    assert_no_thread_is_left()


def test_cancelling_the_task_ends_the_run_before_it_is_left(config: Config) -> None:
    async def main() -> None:
        began = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def never(_: httpx.Request) -> httpx.Response:
            loop.call_soon_threadsafe(began.set)
            import trio

            await trio.sleep_forever()
            raise AssertionError

        task = asyncio.create_task(aio.run_batch(prompts(5), config, transport=httpx.MockTransport(never)))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_no_thread_is_left()

    asyncio.run(main())


def test_cancelling_before_the_thread_has_begun_is_a_cancellation(config: Config) -> None:
    async def main() -> None:
        task = asyncio.create_task(aio.run_batch(prompts(5), config, transport=httpx.MockTransport(echo)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_what_the_rows_raise_is_raised_with_the_outcomes_before_it(config: Config) -> None:
    mine = KeyError("mine")

    async def rows() -> AsyncIterator[str]:
        yield "a"
        raise mine

    with pytest.raises(KeyError) as caught:
        asyncio.run(aio.run_batch(rows(), config, transport=httpx.MockTransport(echo)))

    assert caught.value is mine
    assert [outcome.content for outcome in mine.outcomes] == ["a"]  # type: ignore[attr-defined]  # set on the way


def test_an_abort_is_raised_where_the_stream_is_read(config: Config) -> None:
    async def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": "no such key"}})

    async def main() -> None:
        async for _ in aio.stream(config, prompts(50), transport=httpx.MockTransport(refuse)):
            pass

    with pytest.raises(pipeline.RunAborted, match="no such key"):
        asyncio.run(main())


def test_the_loop_goes_on_while_rows_block_and_while_the_run_works(config: Config) -> None:
    def slow() -> Iterator[str]:
        for prompt in prompts(3):
            time.sleep(0.05)
            yield prompt

    async def main() -> int:
        ticks = 0
        task = asyncio.create_task(aio.run_batch(slow(), config, transport=httpx.MockTransport(echo)))
        while not task.done():
            await asyncio.sleep(0)
            ticks += 1
        assert len(task.result()) == 3
        return ticks

    assert asyncio.run(main()) > 100


def test_progress_is_told_in_the_loop(config: Config) -> None:
    where = set()

    asyncio.run(aio.run_batch(prompts(3), config, transport=httpx.MockTransport(echo), progress=lambda _: where.add(threading.get_ident())))

    assert where == {threading.get_ident()}


def test_a_run_of_files_can_be_stopped_from_the_loop(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n' * 50)
    config = pipeline.load_config(
        write_config(tmp_path, "http://x", **SECTIONS), ["provider={simulate: {latency: {median_seconds: 0.02}}}", "limits.max_in_flight=1"]
    )

    async def main() -> None:
        stop = asyncio.Event()
        await aio.run(config, stop=stop, progress=lambda _: stop.set())

    with pytest.raises(pipeline.RunInterrupted) as caught:
        asyncio.run(main())
    assert caught.value.summary is not None
    assert asyncio.run(aio.run(config)).succeeded == 50


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda config: pipeline.run_batch(["a"], config), "await pipeline.aio.run_batch"),
        (pipeline.run, "pipeline.aio.run"),
        (lambda config: pipeline.stream(config, ["a"]).__anext__(), "pipeline.aio.stream"),
    ],
)
def test_a_call_for_another_loop_says_which_one_fits(config: Config, call: object, said: str) -> None:
    async def main() -> None:
        made = call(config)  # type: ignore[operator]
        if made is not None:
            await made

    with pytest.raises(pipeline.UsageError, match=said):
        asyncio.run(main())


async def test_run_batch_inside_trio_says_what_fits(config: Config) -> None:
    with pytest.raises(pipeline.UsageError, match=r"pipeline\.stream"):
        pipeline.run_batch(["a"], config)

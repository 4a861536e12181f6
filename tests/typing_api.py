"""The public API as a user types it: never run, only checked by mypy in strict mode. What stops passing here breaks programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import httpx
import trio

import pipeline
from pipeline import (
    Batch,
    Endpoint,
    Failure,
    FailureKind,
    FetchSettings,
    GateMessage,
    GateTally,
    HeadraceTransport,
    JobMaker,
    Lane,
    Lanes,
    LaneState,
    LatencyConfig,
    Ledger,
    LimitsConfig,
    MemoryStore,
    OpenSender,
    Outcome,
    PassThrough,
    Progress,
    ProviderConfig,
    RawRow,
    ReadTally,
    ReorderWindow,
    RequestConfig,
    RetryPolicy,
    Sender,
    SimulateConfig,
    SinkConfig,
    SourceConfig,
    Store,
    Success,
    Summary,
    Template,
    Ticket,
    Timeouts,
    expected_answer,
    fetch,
    gate,
    open_senders,
    order,
    read,
    record,
    run_flow,
    senders_over,
    serve_simulated,
    write,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


def configs(path: Path) -> pipeline.Config:
    loaded = pipeline.load_config(path, ["limits.max_in_flight=10"])
    assert_type(loaded, pipeline.Config)
    pipeline.load_config("configs/quickstart.yaml")
    assert_type(loaded.limits.max_in_flight, int)
    assert_type(loaded.limits.requests_per_second, float | None)
    return pipeline.Config(
        source=SourceConfig(path="prompts.jsonl"),
        request=RequestConfig(url="/v1/chat/completions", body={"messages": [{"role": "user", "content": "{prompt}"}], "n": 1}),
        provider=ProviderConfig(simulate=SimulateConfig(latency=LatencyConfig(median_seconds=0.1), faults={"http_429": 0.1})),
        limits=LimitsConfig(requests_per_second=10, burst=2),
        sink=SinkConfig(path="results.jsonl"),
    )


def lists(config: pipeline.Config) -> list[str]:
    outcomes = pipeline.run_batch(["a text", {"a": "row", "of": ["fields", 1, None]}], config)
    assert_type(outcomes, pipeline.Outcomes)
    as_list: list[Outcome] = outcomes
    assert_type(as_list[0].ok, bool)
    assert_type(as_list[0].error, str | None)
    texts = []
    for outcome in outcomes:
        assert_type(outcome.index, int)
        if isinstance(outcome, Success):
            assert_type(outcome.usage.total_tokens, int)
            assert_type(outcome.body, bytes)
            texts.append(str(pipeline.content_of(outcome)))
        else:
            assert_type(outcome.kind, FailureKind)
            assert_type(outcome.status_code, int | None)
            texts.append(outcome.message)
    return texts


async def streams(config: pipeline.Config) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "prompt"

    async for outcome in pipeline.stream(config, endless()):
        assert_type(outcome, Success | Failure)
    async with pipeline.stream(config, ["one", "two"]) as outcomes:
        iterator: AsyncIterator[Outcome] = outcomes
        async for _ in iterator:
            break


async def runs(config: pipeline.Config) -> None:
    stop = trio.Event()

    def watch(progress: Progress) -> None:
        assert_type(progress.rows_total, int | None)
        if progress.rows_failed > 10:
            stop.set()

    try:
        summary = await pipeline.run(config, fresh=True, limit=10, accept_changes=False, stop=stop, progress=watch)
    except (pipeline.RunAborted, pipeline.RunInterrupted) as error:
        assert_type(error.reason, str)
        assert_type(error.summary, Summary | None)
    except pipeline.ConfigError as error:
        print([problem.key for problem in error.problems])
    else:
        assert_type(summary, Summary)
        assert_type(summary.cost, float | None)


def runs_from_a_script(config: pipeline.Config) -> Summary:
    return trio.run(pipeline.run, config)


async def emit(outcomes: list[Outcome]) -> None:
    print(len(outcomes))


async def take_rows(most: int) -> list[RawRow]:
    return [][:most]


def fetch_settings(open_sender: OpenSender) -> FetchSettings:
    return FetchSettings((open_sender,), draw=lambda: 0.5, utc=lambda: 0.0, name_attempt=lambda index, attempt: f"{index}-{attempt}")


async def carried(config: pipeline.Config, transport: httpx.AsyncBaseTransport) -> None:
    assert_type(await pipeline.run(config, transport=transport), Summary)
    pipeline.stream(config, ["a"], transport=transport)


async def flows(transport: httpx.AsyncBaseTransport) -> None:
    jobs = JobMaker(Template.compile({"input": "{text}"}), "/v1/embeddings", seen=MemoryStore())
    settings = pipeline.FlowSettings(
        take_rows=take_rows,
        make_jobs=jobs.make_jobs,
        lanes=Lanes([LaneState(Lane.from_limits(requests_per_minute=60), 4)]),
        fetch=fetch_settings(senders_over(Endpoint("http://provider.test/v1"), transport)),
        store=PassThrough(emit),
        window=16,
    )
    tallies = pipeline.Tallies()
    await run_flow(settings, tallies, trio.Event())
    assert_type(tallies.ledger.succeeded, int)


async def stages(jobs: JobMaker, open_sender: OpenSender) -> None:
    give, credits_ = trio.open_memory_channel[int](1)
    post, inbox = trio.open_memory_channel[GateMessage](1)
    grant, tickets = trio.open_memory_channel[list[Ticket]](1)
    end, outcomes = trio.open_memory_channel[Outcome](1)
    keep, recorded = trio.open_memory_channel[list[Outcome]](1)
    sort, ordered = trio.open_memory_channel[Batch[Outcome]](1)
    store: Store[Outcome] = PassThrough(emit)
    await read(take_rows, jobs.make_jobs, store=store, credits=credits_, jobs=post.clone(), outcomes=end.clone(), tally=ReadTally())
    await gate(inbox, grant, end.clone(), lanes=Lanes([LaneState(Lane(), 1)]), policy=RetryPolicy(), tally=GateTally(), stop=trio.Event())
    await fetch(tickets, post, end, settings=fetch_settings(open_sender), store=store)
    await record(outcomes, keep, store=store, ledger=Ledger(), linger_seconds=0.0)
    await order(recorded, sort, window=ReorderWindow())
    await write(ordered, store=store, credits=give)


async def providers() -> None:
    async with trio.open_nursery() as nursery:
        base_url: str = await nursery.start(serve_simulated, SimulateConfig())
        async with open_senders(Endpoint(base_url, timeouts=Timeouts(total=1.0))) as open_sender:
            sender: Sender = open_sender()
            sender.close()
        async with httpx.AsyncClient(transport=HeadraceTransport()) as client:
            await client.get(f"{base_url}/models")
    assert_type(expected_answer({"messages": [{"role": "user", "content": "hello"}]}), str)

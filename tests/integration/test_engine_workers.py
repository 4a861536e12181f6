"""Workers, their link and their coordinator over real sockets and files, without Ray: one output, one limit, and what goes wrong."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trio

import pipeline
from pipeline.config.load import load_config
from pipeline.engines.run import run_on
from pipeline.simulate import Provider, SimulateConfig, serve
from tests.fakes.runs import write_config
from tests.fakes.workers import Workers

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.summaries import Summary

ROWS = 240
REQUEST = {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}}


def run(
    folder: Path, engine: Workers, *, rows: int = ROWS, simulate: dict[str, Any] | None = None, **sections: Any
) -> tuple[Summary, Provider]:
    """One run by an engine, against a provider in this process."""
    lines = [json.dumps({"custom_id": f"c-{at}", "prompt": f"prompt {at}"}) for at in range(rows)]
    (folder / "in.jsonl").write_text("\n".join(lines) + "\n")

    async def main() -> tuple[Summary | pipeline.HeadraceError, Provider]:
        settings = SimulateConfig(**(simulate or {}))
        provider = Provider(settings)
        async with trio.open_nursery() as nursery:
            base_url: str = await nursery.start(partial(serve, settings, provider=provider))
            shards = {"ray": {"shard_rows": 40}}
            config = load_config(write_config(folder, base_url, request=REQUEST, engine=shards, **sections))
            try:
                return await run_on(engine, config), provider
            except pipeline.HeadraceError as error:
                return error, provider
            finally:
                nursery.cancel_scope.cancel()

    result, provider = trio.run(main)
    if isinstance(result, pipeline.HeadraceError):
        raise result
    return result, provider


def test_two_workers_write_every_row_once_and_in_order(tmp_path: Path) -> None:
    summary, provider = run(tmp_path, Workers(2))

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [f"c-{at}" for at in range(ROWS)]
    assert provider.tally.requests == ROWS
    assert summary.succeeded == ROWS


def test_messages_that_fail_and_a_coordinator_that_begins_anew_lose_no_row(tmp_path: Path) -> None:
    def trouble(workers: Workers, name: str) -> None:
        del name
        if workers.messages == 20:
            workers.begin_coordinator()
        if workers.messages % 9 == 0:
            raise OSError("the network is down")

    summary, provider = run(tmp_path, Workers(2, expiry=0.5, meets=trouble), limits={"requests_per_second": 200, "max_in_flight": 10})

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [f"c-{at}" for at in range(ROWS)]
    assert provider.tally.requests == ROWS
    assert summary.succeeded == ROWS


def test_a_reason_to_stop_of_one_worker_stops_all(tmp_path: Path) -> None:
    with pytest.raises(pipeline.RunAborted, match="401") as stopped:
        run(tmp_path, Workers(3), rows=400, simulate={"api_key": "sk-right"}, limits={"max_in_flight": 5})

    assert stopped.value.summary is not None
    assert stopped.value.summary.total == 0


def test_a_worker_begins_no_more_than_a_second_shard_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    """Shards of 40 rows are read at once, so reading alone would let the first worker take all of them."""
    most: dict[str, int] = {}

    def look(workers: Workers, name: str) -> None:
        most[name] = max(most.get(name, 0), len(workers.coordinator._core.queue.of(name)))

    run(tmp_path, Workers(2, meets=look), limits={"requests_per_second": 150, "max_in_flight": 10})

    assert most.keys() == {"w0", "w1"}
    assert all(1 <= count <= 2 for count in most.values())

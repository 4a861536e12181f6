"""Workers, their link and their coordinator over real sockets and files, without Ray: one output, one limit, and what goes wrong."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

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

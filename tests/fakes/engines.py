"""Runs over shards in this process, as often as a test likes: an input, a provider at a fixed address, and a config with small shards."""

from __future__ import annotations

import gzip
import json
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import define, field
from msgspec.structs import replace

import pipeline
from pipeline.config.load import load_config
from pipeline.engines.in_turn import in_turn
from pipeline.engines.run import run_on
from pipeline.engines.rundir import RunDirectory
from pipeline.simulate import LatencyConfig, Provider, SimulateConfig, serve
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pipeline.engines.work import Engine
    from pipeline.summaries import Progress, Summary

T = TypeVar("T")

ROWS = 20
REQUEST = {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}}


@define
class Case:
    """An input, a provider in this process, and a config with shards of 6 rows."""

    folder: Path
    script: dict[str, str] = field(factory=dict)
    sections: dict[str, Any] = field(factory=dict)
    collect: str = "file"
    run_dir: str | None = None
    source: str = "in.jsonl"
    sent: int = 0
    connections: int = 0
    port: int = 0
    latency: float = 0.0
    told: list[Progress] = field(factory=list)
    stop: trio.Event = field(factory=trio.Event)
    rows: list[dict[str, object]] = field(factory=lambda: [{"custom_id": f"c-{at}", "prompt": f"prompt {at}"} for at in range(ROWS)])

    def config(self, base_url: str = "http://127.0.0.1:9/v1") -> pipeline.Config:
        engine = {"ray": {"shard_rows": 6, "collect": self.collect, "run_dir": self.run_dir}}
        return load_config(write_config(self.folder, base_url, source=self.source, request=REQUEST, engine=engine, **self.sections))

    def run(
        self,
        *,
        plain: bool = False,
        at: Callable[[Progress, trio.Event], None] | None = None,
        engine: Engine = in_turn,
        **flags: Any,
    ) -> Summary:
        def tell(progress: Progress) -> None:
            self.told.append(progress)
            if at is not None:
                at(progress, self.stop)

        async def once(config: pipeline.Config) -> Summary:
            self.stop = trio.Event()
            if plain:
                return await pipeline.run(replace(config, sink=replace(config.sink, path=str(self.folder / "plain.jsonl"))), **flags)
            return await run_on(engine, config, stop=self.stop, progress=tell, **flags)

        return self.serving(once)

    def serving(self, once: Callable[[pipeline.Config], Awaitable[T]]) -> T:
        """Do something with a config whose provider is served meanwhile, always at the same address."""

        async def main() -> T | pipeline.HeadraceError:
            settings = SimulateConfig(script=self.script, latency=LatencyConfig(median_seconds=self.latency))
            provider = Provider(settings)
            async with trio.open_nursery() as nursery:
                base_url: str = await nursery.start(partial(serve, settings, provider=provider, port=self.port))
                self.port = int(base_url.rsplit(":", 1)[1].partition("/")[0])
                try:
                    return await once(self.config(base_url))
                except pipeline.HeadraceError as error:
                    return error  # a nursery would wrap it
                finally:
                    self.sent, self.connections = provider.tally.requests, provider.tally.connections
                    nursery.cancel_scope.cancel()
            raise AssertionError("it returned")

        text = "".join(json.dumps(row) + "\n" for row in self.rows).encode()
        (self.folder / self.source).write_bytes(gzip.compress(text, mtime=0) if self.source.endswith(".gz") else text)
        done = trio.run(main)
        if isinstance(done, pipeline.HeadraceError):
            raise done
        return done

    @property
    def output(self) -> bytes:
        return (self.folder / "out.jsonl").read_bytes()

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory.of(self.config())

    def ids(self) -> list[str]:
        return [json.loads(line)["custom_id"] for line in self.output.splitlines()]

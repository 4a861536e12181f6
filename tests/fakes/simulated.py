"""A simulated provider in the test's own process: real sockets on loopback, its counts at hand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from pipeline.simulate import Provider, SimulateConfig, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@frozen
class Simulated:
    """base_url: ends in /v1. provider: what serves there."""

    base_url: str
    provider: Provider

    @property
    def port(self) -> int:
        return int(self.base_url.rsplit(":", 1)[1].partition("/")[0])


@asynccontextmanager
async def simulated(config: SimulateConfig) -> AsyncIterator[Simulated]:
    """Serve while the block runs."""
    provider = Provider(config)
    async with trio.open_nursery() as nursery:
        base_url: str = await nursery.start(partial(serve, config, provider=provider))
        yield Simulated(base_url, provider)
        nursery.cancel_scope.cancel()

"""The contract of `Sender`, for each way to send, and for the smallest sender that there can be."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pipeline
from pipeline.records import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager


class TestDirect(pipeline.SenderContract):
    """Our own connections."""

    def senders(self, endpoint: pipeline.Endpoint) -> AbstractAsyncContextManager[pipeline.OpenSender]:
        return pipeline.open_senders(endpoint)


class TestHttpx(pipeline.SenderContract):
    """httpx's connections."""

    def senders(self, endpoint: pipeline.Endpoint) -> AbstractAsyncContextManager[pipeline.OpenSender]:
        return pipeline.open_senders(endpoint, transport=Transport.HTTPX)


class TestOverOwnTransport(pipeline.SenderContract):
    """A transport that a user brings."""

    @asynccontextmanager
    async def senders(self, endpoint: pipeline.Endpoint) -> AsyncIterator[pipeline.OpenSender]:
        async with pipeline.HeadraceTransport() as transport:
            yield pipeline.senders_over(endpoint, transport)

"""Http2Sender: HTTP/2 through httpx, for servers that want it; HTTP/1.1 with those that do not offer it in the TLS handshake.

Each sender has a transport, and so a connection, of its own. Workers could share one, for streams multiplex, but not over
httpcore 1.0: a read deadline that one request misses ends all others on its connection, a stream that is given up is never
reset (the server goes on with it), of 200 requests 100 are under way at once and the others wait without a deadline of their
own, and where a server announces no limit on streams it is one at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import trio
from h2.exceptions import H2Error

from pipeline.edges.http.over_httpx import HttpxSender
from pipeline.records import FailureKind, Fault, FaultCause

if TYPE_CHECKING:
    from pipeline.records import Answer, Job

# What comes of a server that breaks the protocol: h2's own errors, which httpcore lets out or takes for ours, and what its code
# stumbles over (a status of "abc").
_BROKEN = (httpx.LocalProtocolError, H2Error, ValueError, LookupError)
# Fewer than over HTTP/1.1: acknowledgements are written after the request has gone, so that a write may fail when it has arrived.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


class Http2Sender(HttpxSender):
    """A Sender over an httpx transport that no other sender uses. The code that made the transport closes it."""

    unsent = _UNSENT

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt; one that fails takes its connection with it, so that the server hears that nobody waits any more.

        Cancellation: as for any sender.
        """
        reply: Answer | Fault | None = None
        try:
            reply = await super().send(job, client_request_id)
        finally:
            if reply is None or isinstance(reply, Fault):
                await self._drop()
        return reply

    async def _exchange(self, request: httpx.Request, scope: trio.CancelScope, client_request_id: str, asked_at: float) -> Answer | Fault:
        try:
            return await super()._exchange(request, scope, client_request_id, asked_at)
        except _BROKEN as error:
            return Fault(FailureKind.MALFORMED_RESPONSE, f"the server broke HTTP/2: {error}", maybe_sent=True, cause=FaultCause.PROTOCOL)

    async def _drop(self) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
            await self._transport.aclose()  # its pool makes a new connection when it is used again

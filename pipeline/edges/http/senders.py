"""Which sender a run uses, and everything that its senders share: heads, SSL context, watch, counts."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from pipeline.edges.http.connect import Dialer, make_context
from pipeline.edges.http.direct import Counts, DirectSender
from pipeline.edges.http.endpoint import TlsOptions
from pipeline.edges.http.memory import AnswerMemory
from pipeline.edges.http.pairing import Trust
from pipeline.edges.http.proxies import Proxy, proxy_for
from pipeline.edges.http.request import RequestHeads
from pipeline.edges.http.watch import Watch
from pipeline.records import Transport
from pipeline.version import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    import httpx

    from pipeline.edges.http.endpoint import Endpoint
    from pipeline.ports import OpenSender

CLOSE_SECONDS = 2.0  # for the goodbyes of httpx's transports


@asynccontextmanager
async def open_senders(
    endpoint: Endpoint,
    *,
    transport: Transport = Transport.OWN,
    http2: bool = False,
    env: Mapping[str, str] | None = None,
    counts: Counts | None = None,
) -> AsyncIterator[OpenSender]:
    """A function that opens one sender for each worker, for as long as the block lasts.

    env: where proxy variables are looked for; one that applies makes it HTTPX, for only httpx speaks to proxies.
    http2: where the server offers it; makes it HTTPX too, and needs the package h2.
    counts: counts what becomes of connections (OWN only). Raises ValueError for an endpoint that makes no sense.
    An exception out of the block comes in an ExceptionGroup, as out of any nursery.
    """
    heads = RequestHeads(endpoint, user_agent())
    renewing = _renewing(endpoint, heads)
    proxy = None if endpoint.unix_socket else proxy_for(heads.base, env or {})
    if transport is Transport.HTTPX or http2 or proxy is not None:
        async with _httpx_senders(endpoint, heads, proxy, http2=http2) as open_sender:
            yield renewing(open_sender)
        return
    dialer = Dialer(endpoint.tls, endpoint.caps, endpoint.unix_socket)
    watch = Watch(endpoint.timeouts.idle)
    shared_counts = counts or Counts()
    memory, trust = AnswerMemory(), Trust(endpoint.connection.max_requests)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        try:
            yield renewing(
                lambda: DirectSender(endpoint, heads=heads, dialer=dialer, watch=watch, counts=shared_counts, memory=memory, trust=trust)
            )
        finally:
            watch.close()


def check_endpoint(endpoint: Endpoint, env: Mapping[str, str] | None = None) -> None:
    """Raise what opening senders would raise, before anything is open.

    Raises BadProxyError for a variable of env, another ValueError for the endpoint, OSError for its TLS files.
    """
    heads = RequestHeads(endpoint, user_agent())
    if endpoint.unix_socket is None:
        proxy_for(heads.base, env or {})
    if endpoint.tls != TlsOptions():
        make_context(endpoint.tls)


def senders_over(endpoint: Endpoint, transport: httpx.AsyncBaseTransport) -> OpenSender:
    """Senders that share a transport given by the caller, who closes it: `httpx.MockTransport`, for one."""
    from pipeline.edges.http.over_httpx import HttpxSender  # noqa: PLC0415  httpx takes 60 ms to import

    heads = RequestHeads(endpoint, user_agent())
    memory = AnswerMemory()
    return _renewing(endpoint, heads)(lambda: HttpxSender(endpoint, heads, transport, memory))


def _renewing(endpoint: Endpoint, heads: RequestHeads) -> Callable[[OpenSender], OpenSender]:
    """What makes senders read the key again where it is refused, if it can be."""
    if endpoint.read_key is None:
        return lambda open_sender: open_sender
    from pipeline.edges.http.renewing import KeyRenewal, RenewingSender  # noqa: PLC0415  few keys can be read again

    renewal = KeyRenewal(endpoint.read_key, endpoint.key_header)
    return lambda open_sender: lambda: RenewingSender(open_sender(), heads, renewal)


def user_agent() -> str:
    """Name and version, as providers' logs show it."""
    return f"headrace/{VERSION}"


@asynccontextmanager
async def _httpx_senders(endpoint: Endpoint, heads: RequestHeads, proxy: Proxy | None, *, http2: bool) -> AsyncIterator[OpenSender]:
    import httpx  # noqa: PLC0415  60 ms

    from pipeline.edges.http.over_httpx import HttpxSender  # noqa: PLC0415
    from pipeline.edges.http.over_httpx_reuse import ReusedConnection  # noqa: PLC0415

    sender = HttpxSender
    if http2:
        from pipeline.edges.http.over_http2 import Http2Sender  # noqa: PLC0415  h2 is an extra

        sender = Http2Sender
    context = make_context(endpoint.tls) if heads.base.scheme == "https" else False
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
    url = None if proxy is None else proxy.url
    memory, trust = AnswerMemory(), Trust(endpoint.connection.max_requests)
    transports: list[httpx.AsyncHTTPTransport] = []

    def open_sender() -> HttpxSender:
        transport = httpx.AsyncHTTPTransport(
            verify=context, limits=limits, proxy=url, uds=endpoint.unix_socket, trust_env=False, http2=http2
        )
        transports.append(transport)
        reused = ReusedConnection(transport, trust, endpoint.connection.max_seconds, heads.address)
        return sender(endpoint, heads, transport, memory, proxy, reused)

    try:
        yield open_sender
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            for transport in transports:
                await transport.aclose()

"""From a name to an open connection: lookup and happy eyeballs by trio, then TLS. Verification cannot be switched off."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from pipeline.edges.http.connection import Connection, TlsConnection

if TYPE_CHECKING:
    from pipeline.core.urls import BaseUrl
    from pipeline.edges.sender import Caps, TlsOptions

# Probes find a peer that vanished without a word, and keep NAT tables from forgetting an answer that takes minutes.
PROBE_AFTER_SECONDS = 45  # AWS forgets idle flows after 350 s, Azure after 240 s, many home routers after 60 s
PROBE_EVERY_SECONDS = 15
PROBES = 4


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """An SSL context that verifies; 20 ms, so make it once. Raises OSError for files that cannot be read or used."""
    if options.ca is None:
        import truststore  # noqa: PLC0415  plain http never needs it

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context(cafile=options.ca)
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.key)
    context.set_alpn_protocols(["http/1.1"])
    return context


@define(eq=False)
class Dialer:
    """Opens connections. Owns nothing but the SSL context, which it makes when first needed."""

    tls: TlsOptions
    caps: Caps
    unix_socket: str | None = None
    _context: ssl.SSLContext | None = field(default=None, init=False, repr=False)

    async def dial(self, base: BaseUrl) -> Connection:
        """A new connection.

        Raises OSError (ssl.SSLError included). Cancellation: nothing is left open.
        """
        sock = await self._socket(base)
        try:
            if base.scheme == "http":
                return Connection(sock, self.caps)
            if self._context is None:
                self._context = make_context(self.tls)
            connection = TlsConnection(sock, self.caps, self._context, base.host)
            await connection.handshake()
            return connection
        except BaseException:
            trio.lowlevel.notify_closing(sock)
            sock.close()
            raise

    async def _socket(self, base: BaseUrl) -> socket.socket:
        if self.unix_socket is not None:
            stream = await trio.open_unix_socket(self.unix_socket)
        else:
            stream = await trio.open_tcp_stream(base.host, base.port)
        sock = socket.socket(fileno=stream.socket.detach())
        if self.unix_socket is None:
            _probe(sock)
        return sock


def connect_message(authority: str, error: BaseException) -> str:
    """Why a connection could not be made, in one line."""
    cause: BaseException = error.__cause__ or error  # trio puts the attempts' own errors there
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return f"cannot connect to {authority}: {cause}"


def _probe(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # macOS calls the first one TCP_KEEPALIVE
    for name, value in (("TCP_KEEPIDLE", PROBE_AFTER_SECONDS), ("TCP_KEEPINTVL", PROBE_EVERY_SECONDS), ("TCP_KEEPCNT", PROBES)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""From a name to an open connection: lookup and happy eyeballs by trio, then TLS. Verification cannot be switched off."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import sys
from typing import TYPE_CHECKING

import trio
from msgspec import Struct, field

from pipeline.edges.http.connection import Connection

if TYPE_CHECKING:
    from pipeline.core.rows.urls import BaseUrl
    from pipeline.edges.http.endpoint import Caps, TlsOptions
    from pipeline.edges.http.sessions import ServerSession

# Probes find a peer that vanished without a word, and keep NAT tables from forgetting an answer that takes minutes.
PROBE_AFTER_SECONDS = 45  # AWS forgets idle flows after 350 s, Azure after 240 s, many home routers after 60 s
PROBE_EVERY_SECONDS = 15
PROBES = 4
PROBING = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)  # macOS calls the first one TCP_KEEPALIVE
        for name, value in (("TCP_KEEPIDLE", PROBE_AFTER_SECONDS), ("TCP_KEEPINTVL", PROBE_EVERY_SECONDS), ("TCP_KEEPCNT", PROBES))
        if hasattr(socket, name)
    ),
]
REMEMBERED_SECONDS = 5.0  # a ramp of workers makes one lookup; a server that moves is found again soon
REMEMBERED_SERVERS = 256


def make_context(options: TlsOptions) -> ssl.SSLContext:
    """An SSL context that verifies; 20 ms, so make it once. Raises OSError for files that cannot be read or used."""
    context = _system_context() if options.ca is None else ssl.create_default_context(cafile=options.ca)
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.key, password="")  # else OpenSSL asks the terminal
    context.set_alpn_protocols(["http/1.1"])
    return context


def _system_context() -> ssl.SSLContext:
    """A context that trusts what the system trusts.

    On macOS and Windows truststore asks the system itself. On Linux it would read all certificates again for every
    connection (21 ms), where OpenSSL has them in a file that is read once; a system without one gets certifi's.
    """
    if sys.platform in {"darwin", "win32"}:
        import truststore  # noqa: PLC0415  plain http never needs it

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:
        import certifi  # noqa: PLC0415  plain http never needs it

        context.load_verify_locations(certifi.where())
    return context


class _Address(Struct, eq=False):
    """Where a server answered last. The lock is held by who looks for it, so that a thousand workers make one lookup."""

    found: tuple[socket.AddressFamily, object] | None = None
    found_at: float = 0.0
    lock: trio.Lock = field(default_factory=trio.Lock)


class Dialer(Struct, eq=False):
    """Opens connections. Owns the SSL context, which it makes when first needed, and remembers where servers answer.

    It also remembers a TLS session of each server (`sessions`), by which later handshakes are shorter. It does not where we show a
    certificate of ours, since some servers refuse such sessions, nor where the system verifies (`truststore`), which looks at certificates
    that a resumed session does not bring.
    """

    tls: TlsOptions
    caps: Caps
    unix_socket: str | None = None
    _context: ssl.SSLContext | None = None
    _addresses: dict[tuple[str, int], _Address] = field(default_factory=dict)
    _sessions: dict[tuple[str, int], ServerSession] = field(default_factory=dict)

    def set_out(self, base: BaseUrl, now: float) -> Connection | socket.socket | None:
        """Set out at once for where the server answered a moment ago.

        A connection if it is there already, as on this machine over plain HTTP; a socket on its way, with which `dial` goes on; or None if
        the server must be looked for, or something is wrong, of which `dial` will tell.
        """
        address = self._addresses.get((base.host, base.port))
        if address is None or address.found is None or now > address.found_at + REMEMBERED_SECONDS:
            return None
        try:
            sock = _set_out(*address.found)
        except OSError:
            address.found = None  # the next one looks for another
            return None
        if base.scheme != "http" or not _has_arrived(sock):
            return sock
        try:
            _probe(sock)
        except OSError:
            return sock  # of which the server is gone already, on macOS
        return Connection(sock, self.caps)

    async def dial(self, base: BaseUrl, under_way: socket.socket | None = None) -> Connection:
        """A new connection. under_way: from `set_out`, for the same base; it is owned here from now on.

        Raises OSError (ssl.SSLError included). Cancellation: nothing is left open.
        """
        sock = await self._socket(base, under_way)
        try:
            if self.unix_socket is None:
                _probe(sock)
            if base.scheme == "http":
                return Connection(sock, self.caps)
            if self._context is None:
                self._context = make_context(self.tls)
            return await self._tls(sock, base, self._context)
        except BaseException:
            _drop(sock)
            raise

    async def _tls(self, sock: socket.socket, base: BaseUrl, context: ssl.SSLContext) -> Connection:
        from pipeline.edges.http.over_tls import TlsConnection  # noqa: PLC0415  a server on this machine has no TLS
        from pipeline.edges.http.sessions import ServerSession  # noqa: PLC0415  as above

        session = None
        if type(context) is ssl.SSLContext and self.tls.certificate is None:
            session = self._sessions.setdefault((base.host, base.port), ServerSession())
        connection = TlsConnection(sock, self.caps, context, base.host, session)
        await connection.handshake()
        return connection

    async def _socket(self, base: BaseUrl, under_way: socket.socket | None) -> socket.socket:
        if self.unix_socket is not None:
            stream = await trio.open_unix_socket(self.unix_socket)
            return socket.socket(fileno=stream.socket.detach())
        return await self._tcp(base.host, base.port, under_way)

    async def _tcp(self, host: str, port: int, under_way: socket.socket | None) -> socket.socket:
        """A connected socket: at once where the server answered a moment ago, else by name and happy eyeballs."""
        if len(self._addresses) > REMEMBERED_SERVERS:
            self._addresses.clear()
            self._sessions.clear()
        address = self._addresses.setdefault((host, port), _Address())
        if under_way is None and (address.found is None or trio.current_time() > address.found_at + REMEMBERED_SECONDS):
            async with address.lock:
                if address.found is None or trio.current_time() > address.found_at + REMEMBERED_SECONDS:
                    # As bytes, because Python would import its codec for international names (1 ms) to encode a text.
                    stream = await trio.open_tcp_stream(host.encode(), port)
                    sock = socket.socket(fileno=stream.socket.detach())
                    address.found, address.found_at = (sock.family, sock.getpeername()), trio.current_time()
                    return sock
        try:
            if under_way is None:
                assert address.found is not None  # by who had the lock
                under_way = _set_out(*address.found)
            return await _arrive(under_way)
        except BaseException:
            address.found = None  # the next one looks for another
            raise


def _set_out(family: socket.AddressFamily, address: object) -> socket.socket:
    """A socket that connects. With `_arrive` a third of what trio.open_tcp_stream costs (72 of 195 µs): workers begin by the thousand."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        error = sock.connect_ex(address)  # type: ignore[arg-type]  # as getpeername gave it
        _check(0 if error == errno.EINPROGRESS else error)
    except BaseException:
        sock.close()
        raise
    return sock


def _has_arrived(sock: socket.socket) -> bool:
    """Whether a socket is connected by now. On the same machine it is, although the kernel has said that it takes a while."""
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


async def _arrive(sock: socket.socket) -> socket.socket:
    """The same socket once it is connected."""
    if not _has_arrived(sock):
        try:
            await trio.lowlevel.wait_writable(sock)
            _check(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except BaseException:
            _drop(sock)
            raise
    return sock


def _check(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


def _drop(sock: socket.socket) -> None:
    trio.lowlevel.notify_closing(sock)
    sock.close()


def _probe(sock: socket.socket) -> None:
    for level, name, value in PROBING:
        sock.setsockopt(level, name, value)

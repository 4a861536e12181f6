"""Scripted servers on loopback: raw sockets that answer exactly the bytes a test says, at the moment it says."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trustme
from attrs import define, field, frozen

from pipeline.edges.http.endpoint import TlsOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 27\r\n\r\n"
OK_BODY = b'{"choices":[{"text":"ok"}]}'
WHOLE = OK + OK_BODY


@frozen
class Request:
    """What a client sent. target: as in the request line. headers: names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@define(eq=False)
class Peer:
    """The server's end of one connection. number: 0 for the first that was accepted."""

    stream: trio.abc.Stream
    number: int
    _buffer: bytearray = field(factory=bytearray)

    async def request(self) -> Request | None:
        """The next request, whole; None when the client has gone."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not await self._more():
                return None
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        body = await (self._chunks() if "transfer-encoding" in headers else self._take(int(headers.get("content-length", "0"))))
        method, target, _ = lines[0].split(" ")
        return Request(method, target, headers, body)

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each in a packet of its own as far as that can be had."""
        for piece in pieces:
            await self.stream.send_all(piece)
            await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """Send the end of our side; go on listening."""
        assert isinstance(self.stream, trio.SocketStream)
        await self.stream.send_eof()

    def reset(self) -> None:
        """Close with RST."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.stream.socket.close()

    async def close(self) -> None:
        """Close at once, without a TLS goodbye."""
        await trio.aclose_forcefully(self.stream)

    async def _more(self) -> bool:
        try:
            data = await self.stream.receive_some(65536)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        self._buffer += data
        return bool(data)

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size and await self._more():
            pass
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._buffer and await self._more():
                pass
            size, _, _ = bytes(self._buffer).partition(b"\r\n")
            del self._buffer[: len(size) + 2]
            body += await self._take(int(size, 16))
            await self._take(2)
            if not int(size, 16):
                return body


@define(eq=False)
class Server:
    """A listening server. accepted: connections so far. requests: all that came, in order."""

    port: int
    accepted: int = 0
    requests: list[Request] = field(factory=list)

    @property
    def url(self) -> str:
        """Its base url, for plain http."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serve(script: Callable[[Peer, Request], Awaitable[None]], *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server that runs the script for every request that comes, connection by connection."""
    async with trio.open_nursery() as nursery:
        server = Server(0)

        async def handle(stream: trio.SocketStream) -> None:
            peer = Peer(stream if tls is None else trio.SSLStream(stream, tls, server_side=True), server.accepted)
            server.accepted += 1
            try:
                while (request := await peer.request()) is not None:
                    server.requests.append(request)
                    await script(peer, request)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the client went away, or the script closed: both are what tests are about
            finally:
                await trio.aclose_forcefully(peer.stream)

        server.port = await nursery.start(listen, handle)
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()


async def listen(
    handle: Callable[[trio.SocketStream], Awaitable[object]], *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Handle connections to a port of loopback, which is told once it listens."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(handle, [listener])


def answering(*pieces: bytes) -> Callable[[Peer, Request], Awaitable[None]]:
    """A script that answers every request with the same pieces and keeps the connection."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(*pieces)

    return script


def answering_and_closing(*pieces: bytes) -> Callable[[Peer, Request], Awaitable[None]]:
    """A script that answers with the pieces and closes."""

    async def script(peer: Peer, request: Request) -> None:
        await peer.send(*pieces)
        await peer.close()

    return script


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """The same bytes, one at a time."""
    return (data[index : index + 1] for index in range(len(data)))


@define(eq=False)
class Authority:
    """A certificate authority of the test's own. path: its certificate as PEM."""

    path: str
    _ca: trustme.CA = field(factory=trustme.CA)

    def __attrs_post_init__(self) -> None:
        self._ca.cert_pem.write_to_path(self.path)

    def server_context(self, *names: str, ask_for_client: bool = False) -> ssl.SSLContext:
        """A context for a server with a certificate for these names."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._ca.issue_cert(*names).configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        if ask_for_client:
            context.verify_mode = ssl.CERT_REQUIRED
            self._ca.configure_trust(context)
        return context

    def options(self) -> TlsOptions:
        """What a client needs to trust it."""
        return TlsOptions(self.path)

    def client_certificate(self, path: str) -> str:
        """A file with a client's certificate and key; its path."""
        certificate = self._ca.issue_cert("client@example.org")
        certificate.private_key_and_cert_chain_pem.write_to_path(path)
        return path


async def answer_whole(stream: trio.SocketStream) -> None:
    """A handler for `trio.serve_listeners`: every request gets WHOLE."""
    peer = Peer(stream, 0)
    while (await peer.request()) is not None:
        await peer.send(WHOLE)


async def listen_unix(path: str) -> trio.SocketListener:
    """A listening Unix socket; whoever serves it closes it."""
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(path)
    listening.listen()
    return trio.SocketListener(listening)

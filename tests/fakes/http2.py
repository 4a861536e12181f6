"""An HTTP/2 server on loopback, made with h2: it answers whole requests, when the test says so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from tests.fakes.servers import OK_BODY, listen

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

OK_HEADERS = [(":status", "200"), ("content-type", "application/json")]


@define(eq=False)
class Http2Server:
    """A listening server. accepted: connections. begun: requests, by connection. waiting_for: nobody is answered before so many wait.

    answer: what it does with a request, in place of a plain answer.
    """

    port: int
    waiting_for: int
    answer: Callable[[H2Connection, int], None]
    accepted: int = 0
    begun: list[int] = field(factory=list)
    bodies: list[bytes] = field(factory=list)
    headers: list[dict[str, str]] = field(factory=list)
    hung_up: int = 0
    _enough: trio.Event = field(factory=trio.Event)

    async def handle(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        """One connection, to its end."""
        number, self.accepted = self.accepted, self.accepted + 1
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        try:
            await stream.send_all(connection.data_to_send())
            while data := await stream.receive_some():
                for event in connection.receive_data(data):
                    await self._take(connection, number, event)
                await stream.send_all(connection.data_to_send())
        except (trio.BrokenResourceError, ProtocolError):
            pass  # the client has gone, or the test has broken the protocol
        self.hung_up += 1

    async def _take(self, connection: H2Connection, number: int, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.begun.append(number)
            self.headers.append({name.decode(): value.decode() for name, value in event.headers})
        elif isinstance(event, DataReceived):
            self.bodies += [event.data] if event.data else []  # the end may come in an empty frame
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            if len(self.begun) >= self.waiting_for:
                self._enough.set()
            await self._enough.wait()
            self.answer(connection, event.stream_id)


def answer_plainly(connection: H2Connection, stream_id: int) -> None:
    """200, and the usual body."""
    connection.send_headers(stream_id, OK_HEADERS)
    connection.send_data(stream_id, OK_BODY, end_stream=True)


@asynccontextmanager
async def serve_http2(
    context: ssl.SSLContext, *, waiting_for: int = 0, answer: Callable[[H2Connection, int], None] = answer_plainly
) -> AsyncIterator[Http2Server]:
    """A server that speaks HTTP/2 and nothing else."""
    context.set_alpn_protocols(["h2"])
    server = Http2Server(0, waiting_for, answer)

    async def handle(stream: trio.SocketStream) -> None:
        tls = trio.SSLStream(stream, context, server_side=True)
        try:
            await server.handle(tls)
        finally:
            await trio.aclose_forcefully(tls)

    async with trio.open_nursery() as nursery:
        server.port = await nursery.start(listen, handle)
        try:
            yield server
        finally:
            nursery.cancel_scope.cancel()

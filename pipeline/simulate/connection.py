"""One client's connection to the simulated provider: HTTP/1.1 by h11. It carries out what `provider` decided.

If a client disconnects while it waits for its answer, this is noticed and its request is cancelled.
"""

from __future__ import annotations

import socket
import struct
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11
import trio

from pipeline.simulate.exchange import Exchange, Request
from pipeline.simulate.reply import Reply, error_reply
from pipeline.simulate.wire import ON_THE_WIRE, End, Pause, Repeat, Send, Step, Steps, ends_before, steps_for, stream_steps

if TYPE_CHECKING:
    from pipeline.simulate.provider import Provider

RECEIVE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
NO_LINGER = struct.pack("ii", 1, 0)  # a close that sends a reset


class Connection:
    """One client's connection; the stream belongs to the caller."""

    def __init__(self, provider: Provider, stream: trio.SocketStream) -> None:
        self._provider = provider
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        provider.tally.connections += 1

    async def serve(self) -> None:
        """Answer requests until either side has enough. A client that disconnects is not an error."""
        try:
            while await self._cycle():
                self._http.start_next_cycle()
        except trio.BrokenResourceError:
            pass

    async def _cycle(self) -> bool:
        """One request and its answer. Returns whether the connection can carry another."""
        try:
            request = await self._read()
        except h11.RemoteProtocolError as error:
            await self._stream.send_all(b"".join(self._render(error_reply(error.error_status_hint, "invalid_request_error", str(error)))))
            return False
        if request is None:
            return False
        if isinstance(request, Reply):
            await self._stream.send_all(b"".join(self._render(request)))
            return False
        exchange = self._provider.receive(request, now=trio.current_time(), wall=time.time())
        alive = await self._answer(exchange)
        return alive and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _read(self) -> Request | Reply | None:
        """The next whole request, the reply to one that is too large, or None at the end."""
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._stream.send_all(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
                self._http.receive_data(await self._stream.receive_some(RECEIVE_BYTES))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self._provider.config.max_body_bytes:
                    return error_reply(413, "invalid_request_error", "The request is too large", "request_too_large")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return Request(head.method.decode("ascii"), head.target.decode("latin-1"), list(head.headers), bytes(body))
            else:
                return None

    def _render(self, reply: Reply) -> tuple[bytes, bytes]:
        """Head and body as h11 writes them; its state moves on, whatever a fault then makes of the bytes."""
        if self._http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return b"", b""
        headers = [*reply.headers, ("content-length", str(len(reply.body)))]
        response = h11.Response(status_code=reply.status, headers=headers, reason=REASONS.get(reply.status, b""))
        head = self._http.send(response) or b""
        body = self._http.send(h11.Data(data=reply.body)) or b""
        self._http.send(h11.EndOfMessage())
        return head, body

    async def _answer(self, exchange: Exchange) -> bool:
        """Wait and take the steps. Returns whether the connection still stands."""
        head, body = self._render(exchange.reply)
        steps = self._steps(exchange, head, body)
        end = ends_before(steps)
        ended = not exchange.counted
        try:
            if exchange.wait_seconds > 0 and not await self._client_stays(exchange.wait_seconds):
                return False
            for index, step in enumerate(steps):
                if index == end and not ended:
                    self._provider.left(exchange)
                    ended = True
                if not await self._take(step):
                    return False
            return True
        finally:
            if not ended:
                self._provider.left(exchange, abandoned=True)

    def _steps(self, exchange: Exchange, head: bytes, body: bytes) -> Steps:
        config = self._provider.config
        if exchange.stream is None or exchange.fault in ON_THE_WIRE:
            return steps_for(exchange.fault, head, body, config.drip_seconds)
        return stream_steps(exchange.stream, head, config.stream.events_at_once, exchange.pause_seconds, config.drip_seconds)

    async def _take(self, step: Step) -> bool:
        """Take one step. Returns whether the connection still stands."""
        match step:
            case Send(data):
                await self._stream.send_all(data)
                return True
            case Pause(seconds):
                return await self._client_stays(seconds)
            case Repeat(data, seconds):
                while seconds == 0 or await self._client_stays(seconds):
                    await self._stream.send_all(data)
            case End.HANG:
                await self._client_stays(float("inf"))
            case End.RESET:
                self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                self._stream.socket.close()
        return False

    async def _client_stays(self, seconds: float) -> bool:
        """Wait so long. Returns False, early, if the client closed its end meanwhile."""
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._stream.socket)
            try:
                if not await self._stream.socket.recv(1, socket.MSG_PEEK):
                    return False
            except OSError:
                return False
            await trio.sleep_forever()  # its next request is there already, and waits its turn
        return True

"""One connection: bytes out, bytes in, and whether it is still fresh. It knows nothing of requests, and owns its socket.

Theory of operation. Whoever waits for an answer is woken in one of three ways, and none of them costs an attempt anything
while it waits. That is why this class uses plain sockets and trio's lowest waits, a fifth cheaper than trio.SocketStream.

- Bytes arrive. A light task (`light`) waits by `await connection`, and then takes what has come by `take`. For that one task holds the
  connection in an edge-triggered epoll (`readiness`) and calls `wake`, in which the light task goes on. An ordinary task calls
  `receive`, which waits for `wake` too where the connection is held there, and for trio's `wait_readable` where it is not. Edge-triggered
  means that the kernel reports bytes once, whether or not they are read. So two flags remember what it reported. `_stirred` is set by
  `wake` and by a read that filled its buffer, since either may have left bytes in the socket; while it is set, nobody waits, and `receive`
  reads after a checkpoint. Only a read that finds nothing clears it. `_ended` is set when the server has closed: nothing more will be
  reported then, so `_stirred` stays set for ever, and reading goes on until the end was read.
- A deadline passes. The task of `watch` looks at `ends_at` and `heard_at`, which a sender only writes, and calls `expire`. That
  sets `expired`, ends a wait for readability or writability through trio, and resumes what waits for `wake`. The
  socket stays open until its owner closes it, so that the owner finds the reason in `expired`.
- The attempt is cancelled. trio calls `_stop_waiting`, which forgets the waiting task; no byte is lost, for none was read.

Only one task may use a connection at a time. `close` first informs its owner (`on_close`), then wakes what waits.
"""

from __future__ import annotations

import math
import select
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import (
    Abort,
    checkpoint,
    current_task,
    notify_closing,
    reschedule,
    wait_readable,
    wait_task_rescheduled,
    wait_writable,
)

from pipeline.edges.http.response import ResponseReader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pipeline.edges.http.endpoint import Caps
    from pipeline.light import Resumed

RECEIVE_BYTES = 64 * 1024
_BYTES_ACKED = 120  # offset of tcpi_bytes_acked in Linux's struct tcp_info, since 4.1


class Connection:
    """An open socket, its reader, and the deadlines of what is under way on it.

    ends_at: clock when the attempt must be over. heard_at: clock of the last sign of life. stalls_at: clock when a stream must have
    said more. All are infinite at rest. expired: which deadline ended it, "total", "idle" or "stall"; else "". is_woken: somebody
    calls `wake`. unhurried: ticks that it may wait. on_close: called before it closes.
    """

    __slots__ = (
        "_ended", "_fd", "_mark", "_poll", "_sent", "_sock", "_stirred", "_waiting",
        "ends_at", "expired", "heard_at", "is_woken", "on_close", "reader", "stalls_at", "unhurried",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, caps: Caps) -> None:
        if sock.gettimeout() != 0:  # a look, where setting it is a system call
            sock.setblocking(False)
        self._sock = sock
        self._fd = sock.fileno()
        self._poll: Callable[[float], list[tuple[int, int]]] | None = None  # made when it is needed: not every connection is used again
        self._sent = self._mark = 0
        self.reader = ResponseReader(caps)
        self.ends_at = self.heard_at = self.stalls_at = math.inf
        self.expired = ""
        self.on_close: Callable[[Connection], None] | None = None
        self.is_woken = False
        self.unhurried = 0
        self._waiting: Callable[[], None] | None = None  # resumes it
        self._stirred = False  # woken since the last read, or that read left something
        self._ended = False  # woken by the server's end, of which nothing will tell again

    def fileno(self) -> int:
        """The socket's; negative once closed."""
        return self._fd

    def is_fresh(self) -> bool:
        """Nothing has come since the last response: neither the server's goodbye nor bytes that nobody asked for."""
        return self.surplus() is None

    def surplus(self) -> bytes | None:
        """What has come since the last response: None if nothing has, no bytes if the server has closed. Does not wait."""
        if self._poll is None:
            own = select.poll()
            own.register(self._fd, select.POLLIN)
            self._poll = own.poll
        return self._read_surplus() if self._poll(0) else None

    def _read_surplus(self) -> bytes | None:
        try:
            return self._sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def start(self, request: bytes) -> memoryview | None:
        """Hand a request to the kernel: what it did not take yet, or None. Raises OSError: nothing has left then."""
        self._mark = self._sent
        return self._push(request)

    def start_long(self, head: bytes, body: bytes) -> memoryview | None:
        """The same for a request whose body is long, without a copy of it."""
        self._mark = self._sent
        try:
            sent = self._sock.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        self._sent += sent
        if sent < len(head):
            return memoryview(head[sent:] + body)
        return memoryview(body)[sent - len(head) :] if sent < len(head) + len(body) else None

    def settle(self) -> None:
        """Send what opening has left to go with the first request, if that does not leave now."""

    async def finish(self, rest: memoryview) -> bool:
        """Hand over what `start` left; False if the server closed before it had all of it, perhaps after saying why.

        Raises trio.ClosedResourceError once expired. Cancellation: a part has left; the connection is of no more use.
        """
        left: memoryview | None = rest
        try:
            while left is not None:
                if self.expired:
                    raise trio.ClosedResourceError
                await wait_writable(self._fd)
                left = self._push_raw(left)
                self.heard_at = trio.current_time()  # a server that reads is alive
        except OSError:
            return False
        return True

    async def send_more(self, data: bytes) -> bool:
        """Go on with a request whose body streams. Answers, raises and is cancelled as `finish`."""
        try:
            rest = self._push(data)
        except OSError:
            return False
        return rest is None or await self.finish(rest)

    async def receive(self, most: int = RECEIVE_BYTES) -> bytes:
        """What the server sent, as soon as there is something; empty at its end. Always a checkpoint.

        Raises OSError, and trio.ClosedResourceError once expired. Cancellation: nothing is lost.
        """
        while True:
            if self._fd < 0 or self.expired:
                raise trio.ClosedResourceError
            if not self.is_woken:
                await wait_readable(self._fd)
            elif self._stirred:
                await checkpoint()  # a server that never stops must not keep the others waiting
            else:
                self._waiting = partial(reschedule, current_task())
                await wait_task_rescheduled(self._stop_waiting)
                if not self._stirred:
                    raise trio.ClosedResourceError
            data = self._take_raw(most)
            if data is not None:
                return data

    def __await__(self) -> Generator[Connection, None, None]:
        """Wait, as a light task, until something may have come. Somebody must call `wake`."""
        if not self._stirred and self._fd >= 0 and not self.expired:
            yield self

    def hold(self, waiting: Resumed) -> None:
        """Keep a light task until something comes, or the connection is over."""
        self._waiting = waiting.resume

    def take(self, most: int = RECEIVE_BYTES) -> bytes | None:
        """What the server sent; empty at its end, and None if nothing is there. Raises as `receive`."""
        if self._fd < 0 or self.expired:
            raise trio.ClosedResourceError
        self._stirred = self._ended
        try:
            data = self._sock.recv(most)
        except BlockingIOError:
            self._stirred = self._ended = False
            return None
        if len(data) == most:
            self._stirred = True  # for what is left there will be no waking
        return data

    _take_raw = take  # where the bytes on the wire are meant

    def wake(self, *, at_end: bool = False) -> None:
        """Tell that something has come. at_end: the server's end, after which nothing will."""
        self._stirred = True
        if at_end:
            self._ended = True
        resume = self._waiting
        if resume is not None:
            self._waiting = None
            resume()

    def never_arrived(self, error: BaseException) -> bool:
        """Whether it is certain that nobody read the last request, which ended in this error before any answer.

        The server's FIN acknowledges all that its kernel had received by then. So when the close is here and nothing of the
        request is acknowledged, the server had closed before the request came. A reset proves nothing: it may overtake the
        delayed acknowledgement of a request that was read. Where the kernel cannot be asked (another system, a Unix socket),
        only a request of which it took no byte is certain.
        """
        if self._sent == self._mark:
            return True
        if isinstance(error, ConnectionResetError):
            return False
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        except (AttributeError, OSError):
            return False
        if len(info) < _BYTES_ACKED + 8:
            return False
        acknowledged: int = struct.unpack_from("=Q", info, _BYTES_ACKED)[0]
        return acknowledged <= self._mark + 1  # the SYN counts as a byte

    def expire(self, deadline: str) -> None:
        """End whatever waits on this connection, with trio.ClosedResourceError."""
        self.expired = deadline
        notify_closing(self._fd)
        self._resume()

    def close(self) -> None:
        """Close the socket. Calling it again does no harm."""
        if self._fd >= 0:
            if self.on_close is not None:
                self.on_close(self)
            notify_closing(self._fd)
            self._resume()
            self._sock.close()
            self._fd = -1

    def _resume(self) -> None:
        resume = self._waiting
        if resume is not None:
            self._waiting = None
            resume()

    def _stop_waiting(self, _: object) -> Abort:
        self._waiting = None
        return Abort.SUCCEEDED

    def _push_raw(self, data: bytes | memoryview) -> memoryview | None:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        self._sent += sent
        return None if sent == len(data) else memoryview(data)[sent:]

    _push = _push_raw  # TLS puts something before it

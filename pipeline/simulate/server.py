"""The provider's port on loopback: one task a connection, and times at which it refuses to be connected to.

This module and `connection` are the only ones that touch a socket.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from math import inf
from typing import TYPE_CHECKING

import trio

from pipeline.errors import UsageError
from pipeline.simulate.connection import Connection
from pipeline.simulate.provider import Provider
from pipeline.simulate.schedule import times_refused

if TYPE_CHECKING:
    from pipeline.simulate.config import SimulateConfig

BACKLOG = 65_535  # as trio asks for: the system takes what it allows


def loopback(host: str) -> str:
    """The address to bind for a host name. Raises: UsageError for anything that others could reach."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise UsageError(f"the simulated provider listens on loopback only (127.0.0.1, ::1 or localhost), got host {host!r}")
    return str(address)


async def serve(
    config: SimulateConfig,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    provider: Provider | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a simulated provider on loopback until cancelled; `nursery.start` gets its base URL, `http://127.0.0.1:PORT/v1`.

    port: 0 takes a free one. provider: the one to serve, for a caller that wants its statistics; None makes one of `config`.
    Raises: UsageError if the host is not loopback or the port cannot be had.
    Cancellation: requests in flight are dropped, all connections closed.
    """
    address = loopback(host)
    bound = _bind(address, port)
    serving = Provider(config) if provider is None else provider
    started = trio.current_time()
    serving.start(started)
    refused = times_refused(config.outages)
    if not refused or refused[0][0] > 0:
        _listen(bound)
    port = bound.getsockname()[1]
    name = f"[{address}]" if ":" in address else address
    task_status.started(f"http://{name}:{port}/v1")

    async def handle(stream: trio.SocketStream) -> None:
        await Connection(serving, stream).serve()

    for start, end in [*refused, (inf, inf)]:
        if start > 0:
            _listen(bound)
            with trio.move_on_at(started + start):
                await trio.serve_listeners(handle, [trio.SocketListener(bound)])
            bound = _bind(address, port)  # at once, so that nobody else takes the port meanwhile
        try:
            await trio.sleep_until(started + end)
        except trio.Cancelled:
            bound.close()
            raise


def _bind(address: str, port: int) -> trio.socket.SocketType:
    """A socket that holds the port and refuses connections until it listens."""
    plain = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        if sys.platform != "win32":  # there the option means something else
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        plain.bind((address, port))
    except OSError as error:
        plain.close()
        raise UsageError(f"cannot listen on {address} port {port}: {error.strerror or error}") from error
    return trio.socket.from_stdlib_socket(plain)


def _listen(bound: trio.socket.SocketType) -> None:
    """Take connections on a bound socket; once more does nothing. Raises: UsageError if somebody else listens there."""
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        address, port = bound.getsockname()[:2]
        bound.close()
        raise UsageError(f"cannot listen on {address} port {port}: {error.strerror or error}") from error

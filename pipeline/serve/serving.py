"""`headrace serve`: opens the data folder, the provider and the socket, and ends them in good order.

On the first signal nothing new is taken: uploads and new batches get a 503 that says to come again, and what is in flight at the
provider may finish. Reading goes on until the batches are closed; then answers under way are finished and the socket is closed.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from anycorn import Config as HttpConfig
from anycorn import serve as serve_http
from attrs import frozen
from msgspec.structs import replace

from pipeline.core.answers.secrets import Secrets
from pipeline.edges.process.descriptors import require_descriptors
from pipeline.edges.process.memory import keep_large_blocks
from pipeline.errors import UsageError
from pipeline.runs.observing import observing
from pipeline.runs.providers import credentials, open_providers, secrets_of
from pipeline.serve.app import Calls, app_of
from pipeline.serve.desk import Desk
from pipeline.serve.engine import Engine
from pipeline.serve.folder import DataFolder
from pipeline.serve.guard import LOOPBACK_NAMES, Guard
from pipeline.serve.models import Models
from pipeline.serve.running import INDEX_MASK
from pipeline.serve.steps import Steps
from pipeline.serve.telling import Teller

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.config import Config
    from pipeline.events import AttemptRecord, RunEvent
    from pipeline.ports import Observer, OpenSender

LOG = logging.getLogger("pipeline.serve.http")
GRACE_SECONDS = 10.0  # for answers under way, once the batches are closed
KEEP_ALIVE_SECONDS = 75.0  # longer than a client polls
HEADER_SECONDS = 30  # that a client may say nothing in the middle of a request


async def serve(
    config: Config,
    *,
    host: str,
    port: int,
    key: str | None,
    stop: trio.Event,
    give_up: trio.Event,
    listening: Callable[[str], None],
    observer: Observer | None = None,
) -> int:
    """Serve until `stop` is set and what was in flight has ended; how many batches are unfinished then.

    config: as `load_serve` makes it. port: 0 takes a free one. key: that clients must show. give_up: set it to cut off what is
    in flight. listening: told the address once it is open. observer: told what happens to attempts.
    Raises UsageError (ConfigError), before anything is listened on; JournalError.
    """
    require_descriptors()
    keep_large_blocks()
    if key is None and not is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, so clients must show a key: set serve.api_key_env to the name of a variable"
            " that holds one"
        )
    shown = await trio.to_thread.run_sync(credentials, config, abandon_on_cancel=True)  # a program may take a minute to print a key
    secrets = Secrets((*secrets_of(shown), *((key,) if key else ())))
    provider = open_providers(config, shown, hide=secrets.add)
    assert config.serve.data is not None  # `load_serve` sees to it
    with ExitStack() as opened:
        listener = opened.enter_context(closing(bound(host, port)))
        folder = opened.enter_context(closing(await trio.to_thread.run_sync(DataFolder.open, Path(config.serve.data))))
        watching = opened.enter_context(observing(config.metrics, () if observer is None else (observer,)))
        async with provider as providers:
            engine = Engine(folder, config, secrets, tuple(map(_WithinBatches, watching)))
            await _serve(engine, providers.senders, listener, host, key, stop, give_up, listening)
            return len(await trio.to_thread.run_sync(folder.catalog.unfinished))


@frozen
class _WithinBatches:
    """An observer that is told the rows' numbers within their batches."""

    observer: Observer

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Attempts that have ended."""
        self.observer.attempts([replace(record, index=record.index & INDEX_MASK) for record in records])

    def events(self, events: Sequence[RunEvent]) -> None:
        """What happened to the lanes."""
        self.observer.events(events)


async def _serve(
    engine: Engine,
    open_senders: Sequence[OpenSender],
    listener: socket.socket,
    host: str,
    key: str | None,
    stop: trio.Event,
    give_up: trio.Event,
    listening: Callable[[str], None],
) -> None:
    config = engine.config.serve
    desk, closed = Desk(engine.folder), trio.Event()
    steps = Steps(desk, engine, config.expire_batches)
    calls = Calls(desk, steps, engine, Teller(engine), Models(open_senders[0]), stop, config.max_upload_bytes)
    address = address_of(listener)
    app: Any = Guard(app_of(calls), key, allowed_hosts(host, config.hosts))
    async with trio.open_nursery() as outer:
        await outer.start(partial(serve_http, app, http_config(listener), shutdown_trigger=closed.wait, mode="asgi"))
        async with trio.open_nursery() as nursery:
            await nursery.start(steps.run)
            listening(address)
            await engine.work(open_senders, stop, give_up)
            nursery.cancel_scope.cancel()
        closed.set()


def http_config(listener: socket.socket) -> HttpConfig:
    """How the socket is served. It is given a descriptor of its own, which it closes."""
    config = HttpConfig()
    LOG.setLevel(logging.WARNING)  # what it says besides is said by the command
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.accesslog = None
    config.errorlog = LOG
    config.graceful_timeout = GRACE_SECONDS
    config.shutdown_timeout = GRACE_SECONDS
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS
    config.read_timeout = HEADER_SECONDS
    config.include_server_header = False
    return config


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        way_out = "; name another --port" if error.errno == errno.EADDRINUSE else ""
        raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror or error}{way_out}") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, more: object) -> frozenset[str] | None:
    """The names by which the server may be called; None where it listens for other machines, which know it by names of their own."""
    assert isinstance(more, (list, tuple))
    if not is_loopback(host):
        return None
    own = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return LOOPBACK_NAMES | {own.lower()} | {str(name).lower() for name in more}


def address_of(listener: socket.socket) -> str:
    """Where it listens, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

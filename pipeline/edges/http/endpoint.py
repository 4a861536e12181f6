"""The seam between fetch and HTTP: what a worker asks of its sender, and what is known about the other end.

Nothing here opens a socket. A sender belongs to one worker and makes one attempt at a time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pipeline.values import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEBIBYTE = 1 << 20


class Timeouts(Struct, frozen=True):
    """Seconds. connect: name lookup, TCP and TLS. idle: without a byte from the server. total: the attempt, whatever comes.

    Of streamed answers, stall: without an event (comments and pings are none). first_token: from the start of the attempt.
    """

    connect: float = 30.0
    idle: float = 600.0
    total: float = 600.0
    stall: float = math.inf
    first_token: float = math.inf


class Caps(Struct, frozen=True):
    """What a server may make us hold, in bytes. body: after decoding."""

    headers: int = 64 * 1024
    body: int = 64 * MEBIBYTE


class ConnectionBounds(Struct, frozen=True):
    """How long a connection is used: for so many requests, and for so many seconds. It is closed between two requests."""

    max_requests: int | None = None
    max_seconds: float = math.inf


class TlsOptions(Struct, frozen=True):
    """Paths of PEM files. ca: trusted in place of the system's store. certificate: the client's own, with its key.

    There is no way to switch verification off.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


class Endpoint(Record, frozen=True):
    """The far end of every request of a run, made once.

    base_url: `http(s)://host[:port][/prefix]`. key_header: name and value, never in a repr. headers: sent with every
    request, and win over ours; their values may be secrets too. unix_socket: path to connect to in place of the host.
    read_key: reads key_header again when it is refused, and blocks; raises ValueError that says why not. None reads nothing.
    """

    base_url: str
    key_header: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeouts: Timeouts = field(default_factory=Timeouts)
    caps: Caps = field(default_factory=Caps)
    tls: TlsOptions = field(default_factory=TlsOptions)
    unix_socket: str | None = None
    connection: ConnectionBounds = field(default_factory=ConnectionBounds)
    read_key: Callable[[], tuple[str, str]] | None = None

    def __repr__(self) -> str:
        """All of it but what may be secret."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name not in {"key_header", "read_key"}}
        shown["headers"] = sorted(self.headers)
        return f"Endpoint({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

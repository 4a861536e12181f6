"""The head of a request as bytes, and where it goes. Nothing leaves that could end a line where we did not.

A head is built once per method and url; an attempt adds only the body's length and its own id.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pipeline.core.rows.headers import RESERVED, TOKEN, VALUE
from pipeline.core.rows.urls import split_base
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.edges.http.endpoint import Endpoint

CACHED_HEADS = 64  # a batch file has one or two urls

TARGET = later(r"/[\x21-\x7e]*")
_BODILESS = frozenset(("GET", "HEAD", "DELETE", "OPTIONS"))


@cache
def accepted_codings() -> str:
    """What `decoding` can undo here."""
    return ", ".join(["gzip", "deflate", *(name for name, module in (("br", "brotli"), ("zstd", "zstandard")) if find_spec(module))])


class RequestHeads:
    """Builds the heads of requests to one endpoint. Holds its key: never log, never print.

    base: where it is. address: the same for messages.
    """

    __slots__ = ("_cache", "_constant", "_given", "_headers", "_moved", "_own", "_plain_headers", "address", "base")

    def __init__(self, endpoint: Endpoint, user_agent: str) -> None:
        self.base = split_base(endpoint.base_url)
        self.address = endpoint.unix_socket or self.base.address
        headers = {
            "host": self.base.authority,
            "user-agent": user_agent,
            "accept": "application/json",
            "accept-encoding": accepted_codings(),
            "content-type": "application/json",
        }
        self._own, self._given = headers, dict(endpoint.headers)
        self._cache: dict[tuple[str, str, bool], bytes] = {}
        self._moved: dict[tuple[str, str], str] = {}  # where redirects lead
        self.take_key(endpoint.key_header)

    def take_key(self, header: tuple[str, str] | None) -> None:
        """Send this key from now on; None sends none. Raises ValueError as `head` does, and shows nothing of it."""
        given = {name.lower(): value for name, value in (*self._given.items(), *(() if header is None else (header,)))}
        # Of a stream that is packed nothing can be seen before its end, and gateways that pack hold back what they should pass on.
        own = {"accept": "text/event-stream, application/json", "accept-encoding": "identity"}
        self._headers, self._plain_headers = self._own | given, self._own | own | given
        self._constant = {streams: _lines(self._plain_headers if streams else self._headers) for streams in (False, True)}
        self._cache.clear()

    def head(self, method: str, url: str, length: int, client_request_id: str, *, streams: bool = False) -> bytes:
        """The whole head of one attempt. streams: it asks for a stream.

        Raises ValueError for anything that is not a clean token, path or id.
        """
        start = self._cache.get((method, url, streams)) or self._start(method, url, streams=streams)
        if not (client_request_id.isascii() and client_request_id.isprintable()):
            raise ValueError(f"a client request id must be printable ASCII, got {client_request_id!r}")
        if not length and method in _BODILESS:
            return b"%sx-client-request-id: %s\r\n\r\n" % (start, client_request_id.encode())
        return b"%scontent-length: %d\r\nx-client-request-id: %s\r\n\r\n" % (start, length, client_request_id.encode())

    def parts(
        self, method: str, url: str, length: int, client_request_id: str, *, streams: bool = False
    ) -> tuple[bytes, list[tuple[str, str]]]:
        """Target and headers of one attempt, for a transport that writes heads by itself. Raises as `head` does."""
        head = self.head(method, url, length, client_request_id, streams=streams)
        headers = self._plain_headers if streams else self._headers
        return head.split(b" ", 2)[1], [*headers.items(), ("x-client-request-id", client_request_id)]

    def target(self, method: str, url: str) -> str:
        """The path and query that a request goes to."""
        return self._moved.get((method, url)) or self.base.target(url)

    def move(self, method: str, url: str, target: str) -> None:
        """Send requests for a url to another path and query from now on."""
        if len(self._moved) >= CACHED_HEADS:
            self._moved.clear()
        self._moved[method, url] = target
        for streams in (False, True):
            self._cache.pop((method, url, streams), None)

    def _start(self, method: str, url: str, *, streams: bool) -> bytes:
        target = self.target(method, url)
        if not (TOKEN.fullmatch(method) and url.startswith("/") and TARGET.fullmatch(target)):
            raise ValueError(f"cannot be sent: {method!r} {url!r}")
        if len(self._cache) >= CACHED_HEADS:
            self._cache.clear()
        start = self._cache[method, url, streams] = f"{method} {target} HTTP/1.1\r\n".encode() + self._constant[streams]
        return start


def _lines(headers: Mapping[str, str]) -> bytes:
    return b"".join(_line(name, value) for name, value in headers.items())


def _line(name: str, value: str) -> bytes:
    if not TOKEN.fullmatch(name) or name in RESERVED:
        raise ValueError(f"header {name!r} cannot be set")
    if not VALUE.fullmatch(value):
        raise ValueError(f"the value of header {name!r} must be printable ASCII")  # never the value: it may be a key
    return f"{name}: {value}\r\n".encode()

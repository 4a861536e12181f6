"""What every request passes first: is it for us, does it come from us, does it show the key? And what every answer carries.

A page of another site can make a browser send requests to loopback. So a foreign `Host` (DNS rebinding) is refused, a foreign `Origin`
is refused where something would change, and no CORS header is ever sent. The key goes in a header and never in a cookie.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from attrs import define

from pipeline.core.batches.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
READING = frozenset({"GET", "HEAD"})
OPEN_PATHS = frozenset({"/", "/page.css", "/page.js", "/icon.svg"})  # hold no data
MOST_PASSED = 4 << 30  # bytes of a body that are read although nobody wants them
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@define(eq=False)
class Guard:
    """ASGI middleware. key: that clients must show, None for none. hosts: names by which it may be called; None takes every name."""

    app: App
    key: str | None
    hosts: frozenset[str] | None

    def __repr__(self) -> str:
        """Never the key."""
        return "Guard()"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or have the app answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name = f"req_{secrets.token_hex(12)}".encode()
        body = _Body(receive)

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.read_to_end()
                message["headers"] = [*message.get("headers", ()), *HEADERS, (b"x-request-id", name)]
            await send(message)

        try:
            self._check(scope)
        except ApiError as error:
            await refuse(error, send_marked)
            return
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):  # a redirect would cost some clients their body or their key
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await self.app(scope, body.receive, send_marked)

    def _check(self, scope: Message) -> None:
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self.hosts is not None and _name_in(host) not in self.hosts:
            raise ApiError(403, "This server is not called by that name.", code="foreign_host")
        origin = headers.get(b"origin")
        if scope["method"] not in READING:
            if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
                raise ApiError(403, "A page of another site must not change anything here.", code="foreign_origin")
            if headers.get(b"sec-fetch-site") == "cross-site":
                raise ApiError(403, "A page of another site must not change anything here.", code="foreign_origin")
        if self.key is not None and scope["path"] not in OPEN_PATHS and not self._is_shown(headers.get(b"authorization", "")):
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")

    def _is_shown(self, authorization: str) -> bool:
        scheme, _, shown = authorization.partition(" ")
        assert self.key is not None
        same = hmac.compare_digest(shown.strip().encode("latin-1", "replace"), self.key.encode())
        return same and scheme.lower() == "bearer"


@define(eq=False)
class _Body:
    """The body of a request. It is read to its end before the answer leaves.

    A client that is still sending would see a broken connection where it should see a refusal, and would send all of it again.
    """

    receive_next: Receive
    ended: bool = False
    passed: int = 0

    async def receive(self) -> Message:
        """The next message of the request."""
        message = await self.receive_next()
        self.ended = self.ended or message["type"] != "http.request" or not message.get("more_body", False)
        self.passed += len(message.get("body", b""))
        return message

    async def read_to_end(self) -> None:
        """Read what is left, and forget it."""
        while not self.ended and self.passed < MOST_PASSED:
            await self.receive()


async def refuse(error: ApiError, send: Send) -> None:
    """Answer with an error, in ASGI's own words: nothing of the request has been read."""
    headers = [(b"content-type", b"application/json"), *headers_of(error)]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": msgspec.json.encode(error.body())})


def headers_of(error: ApiError) -> list[tuple[bytes, bytes]]:
    """The headers that belong to an error. The official clients send some requests again unless they are told not to."""
    headers = [] if error.retry else [(b"x-should-retry", b"false")]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status == 503:
        headers.append((b"retry-after", b"2"))
    return headers


def _name_in(host: str) -> str:
    """The name in a Host header, without its port."""
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdigit() else host.lower()

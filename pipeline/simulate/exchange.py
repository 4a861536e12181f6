"""A request as it came, and what it gets. Values only."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.simulate.faults import Fault
    from pipeline.simulate.limits import Limits
    from pipeline.simulate.reply import Reply
    from pipeline.simulate.streams import Stream


KEY_HEADERS = (b"api-key", b"x-api-key", b"x-goog-api-key")  # Azure's, Anthropic's, Google's


class Request(Struct, frozen=True, eq=False):
    """A whole request. target: path and query. headers: names in lower case."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> str:
        """The first value of a header, "" if it has none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")

    def keys_shown(self) -> list[str]:
        """The keys that it shows, wherever a provider may look for one."""
        query = dict(parse_qsl(self.target.partition("?")[2]))
        in_headers = (self.header(name) for name in KEY_HEADERS)
        return [key for key in (self.header(b"authorization").removeprefix("Bearer "), *in_headers, query.get("key", "")) if key]


class Exchange(Struct, frozen=True):
    """What a request gets.

    stream: the reply's body as it comes, if it comes in events. wait_seconds: before the first byte. pause_seconds: between two
    writes of a stream. counted: it is one of the tally's requests. limits: those it holds.
    """

    reply: Reply
    fault: Fault | None = None
    stream: Stream | None = None
    wait_seconds: float = 0.0
    pause_seconds: float = 0.0
    counted: bool = True
    limits: Limits | None = None

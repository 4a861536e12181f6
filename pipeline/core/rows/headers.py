"""Which headers a request may carry besides ours: the one place that knows names that are reserved and texts that are safe."""

from __future__ import annotations

from pipeline.patterns import later

TOKEN = later(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
VALUE = later(r"[\t\x20-\x7e]*")
FRAMING = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
CLIENT_REQUEST_ID = "x-client-request-id"  # headrace names every attempt in it, so that one can be found at the provider
RESERVED = FRAMING | {CLIENT_REQUEST_ID}


def reserved_problem(name: str) -> str | None:
    """Why a header's name cannot be set, or None."""
    lower = name.lower()
    if lower == CLIENT_REQUEST_ID:
        return "is set by headrace, differently for each attempt; take it away"
    return "frames the request, which is not for a config to do; take it away" if lower in FRAMING else None

"""Which headers a request may carry besides ours: the one place that knows names that are reserved and texts that are safe."""

from __future__ import annotations

from string import ascii_letters, digits

TOKEN_CHARACTERS = frozenset("!#$%&'*+.^_`|~-" + digits + ascii_letters)  # RFC 9110, section 5.6.2
FRAMING = frozenset({"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"})
CLIENT_REQUEST_ID = "x-client-request-id"  # headrace names every attempt in it, so that one can be found at the provider
RESERVED = FRAMING | {CLIENT_REQUEST_ID}


def is_token(text: str) -> bool:
    """Whether a text may be the name of a header, or a method."""
    return bool(text) and TOKEN_CHARACTERS.issuperset(text)


def is_value(text: str) -> bool:
    """Whether a text may be the value of a header: printable ASCII, and tabs."""
    return text.isascii() and text.replace("\t", " ").isprintable()


def is_visible(text: str) -> bool:
    """Whether a text may stand in the first line of a request: printable ASCII without blanks, and not empty."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def is_target(text: str) -> bool:
    """Whether a text may be the path and query that a request asks for."""
    return text.startswith("/") and is_visible(text)


def reserved_problem(name: str) -> str | None:
    """Why a header's name cannot be set, or None."""
    lower = name.lower()
    if lower == CLIENT_REQUEST_ID:
        return "is set by headrace, differently for each attempt; take it away"
    return "frames the request, which is not for a config to do; take it away" if lower in FRAMING else None

"""A whole answer before it is put on the wire, and the two that are written everywhere. Pure."""

from __future__ import annotations

import msgspec

Headers = list[tuple[str, str]]

JSON_TYPE = ("content-type", "application/json")


class Reply(msgspec.Struct, frozen=True):
    """A whole answer. headers: without content-length, which the wire adds."""

    status: int
    headers: Headers
    body: bytes


def json_reply(status: int, body: object, headers: Headers | None = None) -> Reply:
    """A reply that carries JSON."""
    return Reply(status, [JSON_TYPE, *(headers or [])], msgspec.json.encode(body))


def error_reply(status: int, kind: str, message: str, code: str | None = None, param: str | None = None) -> Reply:
    """An error as OpenAI writes it."""
    return json_reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})

"""Puts a lane's model into a request's body. Everything else in it stays as it was, byte for byte within each value."""

from __future__ import annotations

import msgspec

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def with_model(body: bytes, model: str) -> bytes:
    """A body that asks for `model`. One that is no JSON object stays as it is."""
    try:
        fields = _decode(body)
    except msgspec.DecodeError:
        return body
    fields["model"] = msgspec.Raw(_encode(model))
    return _encode(fields)

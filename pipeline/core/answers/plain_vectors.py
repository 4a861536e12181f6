"""Reads the commonest large reply, OpenAI's embeddings, by one typed decode.

As in `plain_chat`, the structs name every key that may stand in such a reply, and anything else makes the decode fail, so that
the general way (`shapes`) is taken. Both say the same, which a test holds. A pass over the numbers of 1.1 MB takes 0.9 ms, and the general
way makes three of them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from pipeline.core.answers.parts import NULL, Reading, is_object, is_text, may_have_many, one_or_list, present
from pipeline.core.answers.shapes_values import is_vector

HEAD_BYTES = 1000  # in which a vector's name stands, if these are vectors
_NAME = b'"embedding"'


class _Vector(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    embedding: msgspec.Raw
    index: Annotated[int, msgspec.Meta(ge=0)] = 0
    object: msgspec.Raw = NULL


class _Vectors(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    data: Annotated[list[_Vector], msgspec.Meta(min_length=1)]
    usage: msgspec.Raw = NULL
    object: msgspec.Raw = NULL
    model: msgspec.Raw = NULL
    id: msgspec.Raw = NULL
    created: msgspec.Raw = NULL
    provider: msgspec.Raw = NULL
    error: None = None


_decode = msgspec.json.Decoder(_Vectors).decode


def read_plain_vectors(body: bytes) -> Reading | None:
    """What plain embeddings say; None for any other reply."""
    if body.find(_NAME, 0, HEAD_BYTES) < 0 or may_have_many(body):
        return None
    try:
        reply = _decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    vectors = reply.data
    if any(vectors[at].index > vectors[at + 1].index for at in range(len(vectors) - 1)):
        vectors = sorted(vectors, key=_index)
    values = [vector.embedding for vector in vectors]
    if not all(map(_is_whole, values)):
        return None
    usage = reply.usage if is_object(reply.usage) else NULL
    return Reading(one_or_list(values), usage=usage, key="data", count=len(values))


def _index(vector: _Vector) -> int:
    return vector.index


def _is_whole(value: msgspec.Raw) -> bool:
    """Whether a vector is numbers throughout, or one text of them. `n` alone is looked for: the search for one byte is the fastest."""
    if not present(value) or not is_vector(value):
        return False
    return is_text(value) or b"n" not in bytes(value)

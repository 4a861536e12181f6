"""Tells identical requests apart from different ones, for the cache and for dedupe.

The whole request is in the key: method, address and every byte of the body. Nothing is left out and nothing is normalised,
because a parameter that is not in the key gives one request the answer of another.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from pipeline.core.rows.attached import identity

if TYPE_CHECKING:
    from pipeline.records import Job

DIGEST_BYTES = 16  # among 10⁹ requests two different ones meet by chance once in 10²⁰


def request_digest(scope: bytes, job: Job) -> bytes:
    """The digest of everything that is sent. scope: which provider is asked."""
    digest = blake2b(identity(job) if job.files else job.body, digest_size=DIGEST_BYTES)
    # Lengths stand before the texts, so that no two ways of cutting them give the same bytes.
    for part in (scope, job.method.encode(), job.url.encode()):
        digest.update(b"%d:%b" % (len(part), part))
    return digest.digest()


def occurrence_key(digest: bytes, occurrence: int) -> bytes:
    """The key of the request that is the n-th of its kind in an input, counted from 1: five equal rows are five samples."""
    return blake2b(b"%b%d" % (digest, occurrence), digest_size=DIGEST_BYTES).digest()

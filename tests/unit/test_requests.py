"""The keys of the cache, byte by byte: a cache that an earlier version has written must still be found."""

from __future__ import annotations

from pipeline.core.bookkeeping.requests import occurrence_key, request_digest
from pipeline.records import Job


def digest(scope: bytes = b"https://api", method: str = "POST", url: str = "/v1/x", body: bytes = b"{}") -> bytes:
    return request_digest(scope, Job(0, "a", method, url, body, 1, 1))


def test_digest_and_key_are_those_of_every_version() -> None:
    assert digest().hex() == "1e474392b82cd323a375b92e81607551"
    assert occurrence_key(digest(), 2).hex() == "d7f76ff3c54a67ef716c27136d34013a"


def test_no_two_ways_of_cutting_the_parts_give_the_same_digest() -> None:
    assert (
        len({digest(), digest(url="/v1/", body=b"x{}"), digest(method="POS", url="T/v1/x"), digest(scope=b"https://ap", method="iPOST")})
        == 4
    )

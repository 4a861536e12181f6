"""A redirect is followed on the same origin only, and what follows is never sent elsewhere."""

from __future__ import annotations

import pytest

from pipeline.edges.http.endpoint import Endpoint
from pipeline.edges.http.redirects import MAX_TARGET, follow
from pipeline.edges.http.request import RequestHeads
from pipeline.records import Answer, Job

BODY = b'{"model": "m"}'
JOB = Job(3, "row-3", "POST", "/v1/chat/completions", BODY, 1, 4)


def heads_of(base: str = "https://api.example.com/v1") -> RequestHeads:
    return RequestHeads(Endpoint(base), "test")


def redirect(status: int, location: bytes | None) -> Answer:
    return Answer(status, [] if location is None else [(b"location", location)], b"")


def first_line(heads: RequestHeads, job: Job) -> bytes:
    return heads.head(job.method, job.url, len(job.body), "i").split(b"\r\n", 1)[0]


SAME = {
    "a slash behind": (b"/v1/chat/completions/", b"/v1/chat/completions/"),
    "a whole url": (b"https://api.example.com/v2/chat", b"/v2/chat"),
    "its port said": (b"https://api.example.com:443/x?a=1", b"/x?a=1"),
    "upper case": (b"HTTPS://API.Example.COM/x", b"/x"),
    "relative": (b"other", b"/v1/chat/other"),
    "a query": (b"?api-version=2", b"/v1/chat/completions?api-version=2"),
    "a fragment, which is never sent": (b"/x#part", b"/x"),
    "the root": (b"https://api.example.com", b"/"),
}


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("name", SAME)
def test_same_request_goes_to_another_address_of_the_same_origin(name: str, status: int) -> None:
    location, target = SAME[name]
    heads = heads_of()

    moved = follow(JOB, redirect(status, location), heads)

    assert moved is JOB
    assert first_line(heads, JOB) == b"POST %s HTTP/1.1" % target


def test_later_rows_go_to_the_new_address_at_once_and_other_urls_do_not() -> None:
    heads = heads_of()
    other = Job(4, "row-4", "POST", "/v1/embeddings", BODY, 1, 5)
    assert first_line(heads, JOB) == b"POST /v1/chat/completions HTTP/1.1"

    follow(JOB, redirect(308, b"/v1/chat/completions/"), heads)

    assert first_line(heads, Job(9, "row-9", "POST", JOB.url, BODY, 1, 9)) == b"POST /v1/chat/completions/ HTTP/1.1"
    assert first_line(heads, other) == b"POST /v1/embeddings HTTP/1.1"


def test_row_that_was_under_way_when_another_learned_the_address_goes_there_too() -> None:
    heads = heads_of()
    follow(JOB, redirect(307, b"/v1/chat/completions/"), heads)
    late = Job(4, "row-4", "POST", JOB.url, BODY, 1, 5)

    assert follow(late, redirect(307, b"/v1/chat/completions/"), heads) is late
    assert first_line(heads, late) == b"POST /v1/chat/completions/ HTTP/1.1"


def test_see_other_gets_the_answer_from_an_address_of_its_own() -> None:
    heads = heads_of()

    moved = follow(JOB, redirect(303, b"/v1/chat/completions?result=7"), heads)

    assert moved is not None
    assert (moved.index, moved.custom_id, moved.method, moved.body) == (3, "row-3", "GET", b"")
    assert first_line(heads, moved) == b"GET /v1/chat/completions?result=7 HTTP/1.1"
    assert first_line(heads, JOB) == b"POST /v1/chat/completions HTTP/1.1"


ELSEWHERE: dict[str, bytes | None] = {
    "no location": None,
    "an empty one": b"",
    "another host": b"https://evil.example/v1/chat/completions",
    "another host without a scheme": b"//evil.example/v1",
    "a longer name": b"https://api.example.com.evil.example/",
    "a user that looks like the host": b"https://api.example.com@evil.example/",
    "a user": b"https://u:p@api.example.com/x",
    "plain http": b"http://api.example.com/v1/chat/completions",
    "another port": b"https://api.example.com:8443/v1",
    "no port": b"https://api.example.com:x/",
    "another scheme": b"file://localhost/etc/passwd",
    "not ASCII": b"/\xff",
    "the same address": b"/v1/chat/completions",
    "a very long one": b"/" + b"x" * MAX_TARGET,
}


@pytest.mark.parametrize("status", [303, 307, 308])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_redirect_elsewhere_is_not_followed(name: str, status: int) -> None:
    heads = heads_of()

    assert follow(JOB, redirect(status, ELSEWHERE[name]), heads) is None
    assert first_line(heads, JOB) == b"POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize("location", [b"/x y", b"/x\tHTTP/1.1", b"/\x00", b"/x\x7f"])
def test_location_that_could_end_a_line_is_never_sent(location: bytes) -> None:
    heads = heads_of()

    follow(JOB, redirect(307, location), heads)

    assert first_line(heads, JOB) in (b"POST /v1/chat/completions HTTP/1.1", b"POST /xHTTP/1.1 HTTP/1.1")  # urlsplit takes a tab out


def test_addresses_that_were_moved_do_not_pile_up() -> None:
    heads = heads_of()

    for number in range(10_000):
        follow(JOB, redirect(303, b"/result/%d" % number), heads)

    assert len(heads._moved) <= 64

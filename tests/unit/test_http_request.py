"""The head of a request: what it holds, and what it refuses to hold."""

from __future__ import annotations

import pytest

from pipeline.edges.http.endpoint import Endpoint
from pipeline.edges.http.request import CACHED_HEADS, RequestHeads, accepted_codings

SECRET = "sk-never-shown"


def heads(base_url: str = "https://api.example.com/v1", **options: object) -> RequestHeads:
    return RequestHeads(Endpoint(base_url, **options), "headrace/1")  # type: ignore[arg-type]


def lines(head: bytes) -> list[str]:
    text = head.decode("ascii")
    assert text.endswith("\r\n\r\n")
    return text[:-4].split("\r\n")


def test_head_is_whole() -> None:
    made = heads(key_header=("Authorization", f"Bearer {SECRET}"), headers={"OpenAI-Organization": "org"})

    start, *rest = lines(made.head("POST", "/v1/chat/completions", 12, "id-1"))

    assert start == "POST /v1/chat/completions HTTP/1.1"
    assert dict(line.split(": ", 1) for line in rest) == {
        "host": "api.example.com",
        "user-agent": "headrace/1",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate, br, zstd",
        "content-type": "application/json",
        "openai-organization": "org",
        "authorization": f"Bearer {SECRET}",
        "content-length": "12",
        "x-client-request-id": "id-1",
    }


def test_configured_header_replaces_ours_whatever_its_case() -> None:
    made = heads(headers={"ACCEPT-Encoding": "identity", "Host": "inner.example.com"})

    head = lines(made.head("POST", "/v1/x", 1, "i"))

    assert [line for line in head if line.lower().startswith(("accept-encoding", "host"))] == [
        "host: inner.example.com",
        "accept-encoding: identity",
    ]


@pytest.mark.parametrize("method, has_length", [("GET", False), ("DELETE", False), ("POST", True), ("PUT", True)])
def test_request_without_body_says_its_length_only_where_a_body_is_usual(method: str, *, has_length: bool) -> None:
    head = lines(heads().head(method, "/v1/models", 0, "i"))

    assert ("content-length: 0" in head) == has_length


def test_heads_are_remembered_but_not_without_end() -> None:
    made = heads()

    first = [made.head("POST", f"/v1/{number}", 1, "i") for number in range(3 * CACHED_HEADS)]
    again = [made.head("POST", f"/v1/{number}", 1, "i") for number in range(3 * CACHED_HEADS)]

    assert first == again
    assert len(made._cache) <= CACHED_HEADS


@pytest.mark.parametrize("bad", ["\r", "\n", "\r\nX: 1", "\x00", "\x7f", "é", "\u2028"])
def test_what_could_end_a_line_is_never_sent(bad: str) -> None:
    made = heads()

    for method, url, request_id in [("PO" + bad + "ST", "/v1/x", "i"), ("POST", "/v1/x" + bad, "i"), ("POST", "/v1/x", "i" + bad)]:
        with pytest.raises(ValueError, match=r"cannot be sent|printable ASCII"):
            made.head(method, url, 1, request_id)


@pytest.mark.parametrize("url", ["", "x", "http://elsewhere/", "/a b"])
def test_url_that_is_no_path_is_never_sent(url: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        heads().head("POST", url, 1, "i")


@pytest.mark.parametrize("bad", ["\r", "\n", "\x00", "é"])
def test_header_that_could_end_a_line_is_refused_without_showing_its_value(bad: str) -> None:
    for options in ({"headers": {"X-Key": SECRET + bad}}, {"key_header": ("api-key", SECRET + bad)}):
        with pytest.raises(ValueError, match="printable ASCII") as caught:
            heads(**options)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "Content-Length", "transfer-encoding", "Connection", "X-Client-Request-Id"])
def test_header_that_is_no_name_or_ours_to_set_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be set"):
        heads(headers={name: "1"})


def test_no_repr_shows_a_secret() -> None:
    endpoint = Endpoint("https://api.example.com", ("authorization", SECRET), {"X-Key": SECRET})

    assert SECRET not in repr(endpoint)
    assert SECRET not in repr(RequestHeads(endpoint, "headrace"))
    assert "X-Key" in repr(endpoint)


@pytest.mark.parametrize("streams, coding", [(True, "identity"), (False, accepted_codings())])
def test_a_stream_is_asked_for_without_a_content_coding(*, streams: bool, coding: str) -> None:
    made = heads()

    for _ in range(2):  # from the cache as well
        assert f"accept-encoding: {coding}" in lines(made.head("POST", "/v1/x", 2, "i", streams=streams))
    assert ("accept-encoding", coding) in made.parts("POST", "/v1/x", 2, "i", streams=streams)[1]


def test_a_coding_that_the_user_asks_for_is_kept_for_streams() -> None:
    made = RequestHeads(Endpoint("http://h/v1", headers={"Accept-Encoding": "br"}), "t")

    assert "accept-encoding: br" in lines(made.head("POST", "/v1/x", 2, "i", streams=True))

"""Base URLs and the paths below them."""

from __future__ import annotations

import pytest

from pipeline.core.rows.urls import split_base, url_problem


@pytest.mark.parametrize(
    "base, url, whole",
    [
        ("https://h/v1", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1/", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/v1", "https://h/v1"),
        ("https://h/v1", "/v1beta/chat", "https://h/v1/v1beta/chat"),
        ("https://h/api/paas/v4", "/v4/chat", "https://h/api/paas/v4/chat"),
        ("https://h", "/v1/embeddings", "https://h/v1/embeddings"),
        ("https://h/", "/", "https://h/"),
        ("http://h:1/openai", "/v1/x", "http://h:1/openai/x"),
        ("http://h:1/openai", "/v1x", "http://h:1/openai/v1x"),
        ("https://h/v1beta/openai", "/v1/chat/completions", "https://h/v1beta/openai/chat/completions"),
        ("https://h/api/paas/v4", "/v1/chat/completions", "https://h/api/paas/v4/chat/completions"),
        ("https://h/v1/openai", "/v1/chat/completions", "https://h/v1/openai/chat/completions"),
        ("https://h/v1/openai/v1", "/v1/chat/completions", "https://h/v1/openai/v1/chat/completions"),
        ("https://h/inference", "/v1", "https://h/inference"),
        ("https://h/openai/deployments/d?api-version=1", "/v1/x", "https://h/openai/deployments/d/x?api-version=1"),
        ("https://h/v1/chat/completions", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1/chat/completions/", "/v1/embeddings", "https://h/v1/embeddings"),
        ("https://h/chat/completions", "/v1/chat/completions", "https://h/chat/completions"),
        ("https://h/v1/messages", "/v1/messages", "https://h/v1/messages"),
        ("http://h:80/v1", "/v1/x", "http://h/v1/x"),
        ("https://h:80/v1", "/v1/x", "https://h:80/v1/x"),
        ("HTTPS://API.Example.COM/V", "/x", "https://api.example.com/V/x"),
        (
            "https://h/openai/deployments/gpt?api-version=2024-10-21",
            "/chat",
            "https://h/openai/deployments/gpt/chat?api-version=2024-10-21",
        ),
        ("https://h/v1?a=1&b=2", "/v1/x?b=3&c", "https://h/v1/x?a=1&b=3&c"),
        ("https://h/v1", "/v1/x?q=%20", "https://h/v1/x?q=%20"),
        ("http://[::1]:8000/v1", "/v1/x", "http://[::1]:8000/v1/x"),
        ("http://[0:0:0:0:0:0:0:1]/v1", "/v1/x", "http://[::1]/v1/x"),
        ("https://例え.jp/v1", "/v1/x", "https://xn--r8jz45g.jp/v1/x"),
        ("http://my_service.internal.:8080", "/v1/x", "http://my_service.internal.:8080/v1/x"),
    ],
)
def test_base_and_url_are_joined_once(base: str, url: str, whole: str) -> None:
    assert split_base(base).join(url) == whole


def test_base_is_taken_apart() -> None:
    base = split_base("https://[::1]/v1/?x=1")

    assert (base.scheme, base.host, base.port, base.path, base.query) == ("https", "::1", 443, "/v1", "x=1")
    assert (base.origin, base.authority) == ("https://[::1]", "[::1]")


@pytest.mark.parametrize(
    "base, complaint",
    [
        ("", "must be a URL"),
        ("https://h /v1", "without spaces"),
        ("https://h/v1\r\nX: y", "without spaces"),
        ("https://h\t/v1", "without spaces"),
        ("https:\\\\h/v1", "without spaces"),
        ("h/v1", "must start with http:// or https://"),
        ("//h/v1", "must start with http:// or https://"),
        ("ftp://h/v1", "must start with http:// or https://"),
        ("https:///v1", "name a host"),
        ("https://user:secret@h/v1", "user or password"),
        ("https://@h/v1", "user or password"),
        ("https://h/v1#top", "fragment"),
        ("https://h/v1#", "fragment"),
        ("https://h:0/v1", "port"),
        ("https://h:65536/v1", "[Pp]ort"),
        ("https://h:x/v1", "[Pp]ort"),
        ("https://[::1/v1", "IPv6"),
        ("https://[::z]/v1", "IPv6|IP address|does not appear"),
        ("https://h!st/v1", "no host name"),
        ("https://-h/v1", "no host name"),
        ("https://\u3002\u3002.jp/v1", "no host name"),
        ("https://h/é", "percent-encode"),
        ("https://h/v1?x=é", "percent-encode"),
    ],
)
def test_a_base_that_is_none_says_what_to_do(base: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        split_base(base)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["/", "/v1/chat/completions", "/v1/x?a=b&c=%0d", "/a.b/..c/...", "/x?next=/../y"])
def test_a_path_is_no_problem(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "", "v1/x", "https://evil/v1", "//evil/v1", "/v1/x y", "/v1\r\nHost: evil", "/v1\tx", "/v1\x00", "/v1\x7f",
        "/vé", "/v1/😀", "\\\\evil", "/\\evil", "/v1#x", "/../admin", "/v1/..", "/v1/./x", "/v1/%2e%2E/x", "/v1/.%2e?x",
    ],
)  # fmt: skip
def test_a_url_that_could_lead_elsewhere_is_a_problem(url: str) -> None:
    assert url_problem(url) is not None


def test_a_wrong_url_is_shown_whole_if_it_is_short_and_else_its_beginning() -> None:
    assert "got 'x y';" in (url_problem("x y") or "")
    assert f"got {'x' * 80!r};" in (url_problem("x" * 80) or "")
    assert f"got {'x' * 77!r}...;" in (url_problem("x" * 81) or "")

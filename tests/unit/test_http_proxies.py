"""The environment's proxies, as users of curl know them."""

from __future__ import annotations

import pytest

from pipeline.core.rows.urls import split_base
from pipeline.edges.http import proxies
from pipeline.edges.http.proxies import BadProxyError, proxy_for

FAR = "https://api.example.com/v1"
BOTH = {"HTTPS_PROXY": "http://secure:3128", "HTTP_PROXY": "http://plain:3128"}

CASES = {
    "none": (FAR, {}, None),
    "by scheme, secure": (FAR, BOTH, "http://secure:3128"),
    "by scheme, plain": ("http://api.example.com", BOTH, "http://plain:3128"),
    "lower case wins": (FAR, BOTH | {"https_proxy": "http://lower:1"}, "http://lower:1"),
    "lower case and empty switches off": (FAR, BOTH | {"https_proxy": ""}, None),
    "one for all": (FAR, {"ALL_PROXY": "http://all:1"}, "http://all:1"),
    "without a scheme": (FAR, {"HTTPS_PROXY": "secure:3128"}, "http://secure:3128"),
    "loopback name": ("http://localhost:8000", BOTH, None),
    "loopback address": ("http://127.0.0.1:8000", BOTH, None),
    "loopback IPv6": ("http://[::1]:8000", BOTH, None),
    "exempt: all": (FAR, BOTH | {"NO_PROXY": "*"}, None),
    "exempt: the host": (FAR, BOTH | {"NO_PROXY": "x.org, api.example.com"}, None),
    "exempt: a domain": (FAR, BOTH | {"NO_PROXY": "example.com"}, None),
    "exempt: a dotted domain": (FAR, BOTH | {"no_proxy": ".example.com"}, None),
    "exempt: a starred domain": (FAR, BOTH | {"no_proxy": "*.example.com"}, None),
    "exempt: host and port": ("http://api.example.com:81", BOTH | {"NO_PROXY": "api.example.com:81"}, None),
    "exempt: another port": ("http://api.example.com:82", BOTH | {"NO_PROXY": "api.example.com:81"}, "http://plain:3128"),
    "exempt: an address": ("http://10.1.2.3", BOTH | {"NO_PROXY": "10.1.2.3"}, None),
    "exempt: a network": ("http://10.1.2.3", BOTH | {"NO_PROXY": "10.0.0.0/8"}, None),
    "exempt: an IPv6 network": ("http://[fd00::1]", BOTH | {"NO_PROXY": "fd00::/8"}, None),
    "not exempt: only an ending": (FAR, BOTH | {"NO_PROXY": "ample.com"}, "http://secure:3128"),
    "not exempt: another network": ("http://11.1.2.3", BOTH | {"NO_PROXY": "10.0.0.0/8"}, "http://plain:3128"),
    "not exempt: nothing named": (FAR, BOTH | {"NO_PROXY": " , "}, "http://secure:3128"),
    "a CGI script's client": ("http://api.example.com", {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_proxy_is_the_one_that_the_environment_means(name: str) -> None:
    url, env, proxy = CASES[name]

    found = proxy_for(split_base(url), env)

    assert (found and found.url) == proxy


BAD = {
    "another protocol": "ftp://127.0.0.1:3128",
    "no host": "http://",
    "a port that is none": "http://proxy:many",
    "SOCKS without its package": "socks5://proxy:1080",
}


@pytest.mark.parametrize("name", BAD)
def test_proxy_that_cannot_be_used_is_refused_by_the_name_of_its_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxies, "find_spec", lambda _: None)

    with pytest.raises(BadProxyError, match=r"^https_proxy: ") as caught:
        proxy_for(split_base(FAR), {"https_proxy": BAD[name]})

    assert caught.value.variable == "https_proxy"


def test_password_of_a_proxy_is_never_shown() -> None:
    proxy = proxy_for(split_base(FAR), {"HTTPS_PROXY": "http://user:hunter2@proxy.example"})

    assert proxy is not None
    assert proxy.address == "proxy.example:80"
    assert "hunter2" not in repr(proxy)
    with pytest.raises(BadProxyError) as caught:
        proxy_for(split_base(FAR), {"HTTPS_PROXY": "ftp://user:hunter2@proxy.example"})
    assert "hunter2" not in str(caught.value)

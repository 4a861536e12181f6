"""Which proxy the environment asks for, by the rules that curl, Python and Go share."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.rows.urls import BaseUrl


def proxy_for(base: BaseUrl, env: Mapping[str, str]) -> str | None:
    """The url of the proxy for a server, or None.

    HTTPS_PROXY or HTTP_PROXY by the scheme, else ALL_PROXY; lower case wins over upper. A loopback host never goes through
    a proxy (as in Go's net/http): it would not mean this machine there.
    """
    settings = {name.lower(): value for name, value in env.items() if name.isupper()}
    settings |= {name: value for name, value in env.items() if name.islower()}
    if "REQUEST_METHOD" in env and "http_proxy" not in env:
        settings.pop("http_proxy", None)  # in a CGI script it would be the client's header "Proxy" (CVE-2016-1000110)
    proxy = settings.get(f"{base.scheme}_proxy") or settings.get("all_proxy")
    if not proxy or _is_loopback(base.host) or _is_exempt(base, settings.get("no_proxy", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exempt(base: BaseUrl, no_proxy: str) -> bool:
    """NO_PROXY: "*", or names (with all below them), addresses and networks, each with or without a port."""
    return any(_names(entry.strip().lower(), base) for entry in no_proxy.split(","))


def _names(entry: str, base: BaseUrl) -> bool:
    if not entry or entry == "*":
        return entry == "*"
    try:
        return ip_address(base.host) in ip_network(entry, strict=False)
    except ValueError:
        pass
    entry = entry.removesuffix(f":{base.port}").removeprefix("[").removesuffix("]").lstrip("*.")
    return base.host == entry or base.host.endswith(f".{entry}")

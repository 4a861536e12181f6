"""Which proxy the environment asks for, by the rules that curl, Python and Go share."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.rows.urls import BaseUrl


_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SOCKS = frozenset(("socks5", "socks5h"))


class Proxy(Struct, frozen=True):
    """A proxy that the environment names. variable: where. url: may hold credentials, so print `address` instead."""

    variable: str
    url: str
    address: str

    def __repr__(self) -> str:
        """Without the credentials."""
        return f"Proxy({self.variable!r}, {self.address!r})"


class BadProxyError(ValueError):
    """A proxy variable that cannot be used. variable: its name."""

    def __init__(self, variable: str, problem: str) -> None:
        self.variable = variable
        super().__init__(f"{variable}: {problem}")


def proxy_for(base: BaseUrl, env: Mapping[str, str]) -> Proxy | None:
    """The proxy for a server, or None. Raises BadProxyError.

    HTTPS_PROXY or HTTP_PROXY by the scheme, else ALL_PROXY; lower case wins over upper. A loopback host never goes through
    a proxy (as in Go's net/http): it would not mean this machine there.
    """
    names = {name.lower(): name for name in env if name.isupper()}
    names |= {name: name for name in env if name.islower()}
    if "REQUEST_METHOD" in env and "http_proxy" not in env:
        names.pop("http_proxy", None)  # in a CGI script it would be the client's header "Proxy" (CVE-2016-1000110)
    variable = next((names[name] for name in (f"{base.scheme}_proxy", "all_proxy") if name in names and env[names[name]]), None)
    no_proxy = env[names["no_proxy"]] if "no_proxy" in names else ""
    if variable is None or _is_loopback(base.host) or _is_exempt(base, no_proxy):
        return None
    return _proxy(variable, env[variable])


def _proxy(variable: str, value: str) -> Proxy:
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadProxyError(variable, "is not a URL; write it as http://HOST:PORT") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        # The value itself may hold a password, so only its scheme is shown.
        raise BadProxyError(variable, f"a proxy must be http://HOST:PORT, https:// or socks5://, got {parts.scheme + '://'!r}")
    if parts.scheme in _SOCKS and find_spec("socksio") is None:
        raise BadProxyError(variable, "a SOCKS proxy needs a package that is not installed: pip install socksio")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Proxy(variable, url, f"{host}:{port or _PORTS[parts.scheme]}")


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

"""Where a request goes: a provider's base URL, checked once, joined with the path that a row names.

A row may choose the path below the base and nothing else: not the host, not the headers, not a way out of the base's own path.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import SplitResult, urlsplit

import idna
from msgspec import Struct

from pipeline.patterns import later

PORTS = {"http": 80, "https": 443}

_VISIBLE = later(r"[!-~]+")  # what may stand in a request line
_HOST_NAME = later(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")
_DOTS = later(r"/(?:\.|%2e){1,2}(?=/|\?|$)", re.IGNORECASE)
_VERSION = later(r"/(v[0-9][a-z0-9]*)$")
# What the OpenAI SDK appends to its base_url; people paste the whole address of a provider's documentation.
_ENDPOINT = later(r"/(?:chat/completions|completions|embeddings|responses|messages|moderations)$")


class BaseUrl(Struct, frozen=True):
    """A provider's address, taken apart.

    host: ASCII, without the brackets of IPv6. path, query: without "/" at the end, without "?". endpoint: what was cut off the
    path because it is the address of one endpoint, such as /chat/completions.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    query: str = ""
    endpoint: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port; a default port is left out."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """What goes into the Host header."""
        return self._bracketed if self.port == PORTS[self.scheme] else self.address

    @property
    def address(self) -> str:
        """Host and port, also where the port is the default one: for messages."""
        return f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def target(self, url: str) -> str:
        """The path and query to ask for, given a row's url.

        A base that has a path takes the place of the url's /v1, as the OpenAI SDK joins them, and a version that ends the base and
        starts the url is joined once. A base without a path is a host alone, and the url is asked for as it is.
        """
        path, _, query = url.partition("?")
        version = _VERSION.search(self.path)
        for start in (version[0] if version else None, "/v1" if self.path or self.endpoint else None):
            if start and (path + "/").startswith(f"{start}/"):
                path = path[len(start) :]
                break
        queries = "&".join(filter(None, (self._query_besides(query), query)))
        return (self.path + path or "/") + (f"?{queries}" if queries else "")

    def join(self, url: str) -> str:
        """The whole URL for a row's url."""
        return self.origin + self.target(url)

    def _query_besides(self, query: str) -> str:
        """The base's own parameters, but for those that the row sets."""
        if not query:
            return self.query
        names = {part.partition("=")[0] for part in query.split("&")}
        return "&".join(part for part in self.query.split("&") if part.partition("=")[0] not in names)


def split_base(base_url: str) -> BaseUrl:
    """Take a base URL apart. Raises ValueError that says what to do."""
    if not base_url or any(character.isspace() or not character.isprintable() or character == "\\" for character in base_url):
        raise ValueError(f"{base_url!r} must be a URL without spaces, such as https://api.example.com/v1")
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{base_url!r}: {error}") from None
    scheme = parts.scheme
    if scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{base_url!r} must start with http:// or https:// and name a host, such as https://api.example.com/v1")
    if "@" in parts.netloc:
        raise ValueError("a URL with a user or password in it is not taken; put the key into a variable and name it in api_key_env")
    if "#" in base_url:
        raise ValueError(f"{base_url!r} has a fragment, which is never sent; remove everything from '#' on")
    if port == 0:
        raise ValueError(f"{base_url!r}: port must be from 1 to 65535")
    path = _ascii(parts.path.rstrip("/"), base_url)
    found = _ENDPOINT.search(path)
    endpoint = found[0] if found else ""
    return BaseUrl(scheme, _host(parts), port or PORTS[scheme], path.removesuffix(endpoint), _ascii(parts.query, base_url), endpoint)


def url_problem(url: str) -> str | None:
    """Why a row's url cannot be asked for, or None."""
    if not url.startswith("/"):
        return f"url must be a path that starts with '/', such as /v1/chat/completions, got {_short(url)}; the host comes from the config"
    if url.startswith("//"):
        return f"url must start with one '/', got {_short(url)}: two would name another host"
    if not _VISIBLE.fullmatch(url) or "\\" in url or "#" in url:
        return (
            f"url must hold no spaces, control characters, backslashes, '#' or letters beyond ASCII, got {_short(url)}; percent-encode them"
        )
    if _DOTS.search(url.partition("?")[0]):
        return f"url must not hold '.' or '..' as a part of its path, got {_short(url)}"
    return None


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError as error:
            raise ValueError(f"{host!r} is no IPv6 address: {error}") from None
    if not host.isascii():
        try:
            return idna.encode(host, uts46=True).decode()
        except idna.IDNAError as error:
            raise ValueError(f"{host!r} is no host name: {error}") from None
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{host!r} is no host name")
    return host


def _ascii(part: str, base_url: str) -> str:
    if part and not _VISIBLE.fullmatch(part):
        raise ValueError(f"{base_url!r} holds letters beyond ASCII after the host; percent-encode them")
    return part


def _short(url: str) -> str:
    return repr(url) if len(url) <= 80 else f"{url[:77]!r}..."

"""Which redirects are followed: those that stay on the same scheme, host and port, so that the key and the prompt go nowhere else.

307 and 308 ask for the same request at another address, as FastAPI and nginx do for a slash at the end. The address is remembered
for the run, so that later rows go there at once. 303 asks to GET an address that exists for this one answer (Modal does so when an
answer takes longer than 150 s). A 301 or 302 may turn a POST into a GET, and an address elsewhere would get the key: neither is
followed, and the answer says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from pipeline.core.rows.urls import PORTS
from pipeline.edges.http.request import TARGET
from pipeline.records import Job

if TYPE_CHECKING:
    from pipeline.core.rows.urls import BaseUrl
    from pipeline.edges.http.request import RequestHeads
    from pipeline.records import Answer

SEE_OTHER = 303
FOLLOWED = frozenset((SEE_OTHER, 307, 308))
MAX_HOPS = 20  # Modal's 303 may come several times; the attempt's total deadline holds over all of them
MAX_TARGET = 8192


def follow(job: Job, answer: Answer, heads: RequestHeads) -> Job | None:
    """The request to make in place of one that was redirected, or None if the redirect is not followed."""
    present = heads.target(job.method, job.url)
    target = _same_origin(answer.header(b"location") or b"", present, heads.base)
    if target is None:
        return None
    if target == present:  # another worker was told meanwhile, and the address is known by now; or it leads to itself
        return None if present == heads.base.target(job.url) else job
    if answer.status == SEE_OTHER:
        heads.move("GET", target, target)  # an address as it is, which is not joined to the base
        return Job(job.index, job.custom_id, "GET", target, b"", job.tokens, job.line)
    heads.move(job.method, job.url, target)
    return job


def _same_origin(location: bytes, present: str, base: BaseUrl) -> str | None:
    """Path and query of a location on the same origin."""
    try:
        parts = urlsplit(urljoin(base.origin + present, location.decode("ascii")))
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if (parts.scheme, parts.hostname, port) != (base.scheme, base.host, base.port) or parts.username is not None:
        return None
    return target if location and len(target) <= MAX_TARGET and TARGET.fullmatch(target) else None
